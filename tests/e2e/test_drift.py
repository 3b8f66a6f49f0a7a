"""Drift is repaired, except where repair would restart trading without a decision."""

from __future__ import annotations

import pytest

from tests.support.e2e import scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, condition, phase, wait_for

RUNNER = "drift"

CHILDREN = {
    "ServiceAccount": "v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "Lease": "coordination.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
}


@pytest.fixture(scope="module")
def runner(cluster: Cluster, namespace: str) -> Manifest:
    return scenario.start(cluster, RUNNER, namespace)


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back(
    cluster: Cluster, namespace: str, runner: Manifest, kind: str
) -> None:
    version = CHILDREN[kind]
    old = cluster.get(kind, RUNNER, namespace, version)
    assert old is not None
    cluster.delete(kind, RUNNER, namespace, version)

    def back() -> Manifest | None:
        found = cluster.get(kind, RUNNER, namespace, version)
        new = found is not None and found["metadata"]["uid"] != old["metadata"]["uid"]
        return found if new else None

    wait_for(f"{kind} to come back", back, seconds=60)
    scenario.trading(cluster, RUNNER, namespace)


EDITS: dict[str, Manifest] = {
    "Service": {"spec": {"ports": [{"name": "metrics", "port": 1234}]}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 1}},
    "NetworkPolicy": {"spec": {"ingress": [], "egress": []}},
    "ServiceMonitor": {"spec": {"endpoints": [{"port": "metrics", "interval": "59s"}]}},
    "StatefulSet": {"spec": {"updateStrategy": {"type": "RollingUpdate"}}},
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edited_child_is_put_right(
    cluster: Cluster, namespace: str, runner: Manifest, kind: str
) -> None:
    version = CHILDREN[kind]
    before = cluster.get(kind, RUNNER, namespace, version)
    assert before is not None
    cluster.patch(kind, RUNNER, namespace, EDITS[kind], version)

    def right() -> bool:
        found = cluster.get(kind, RUNNER, namespace, version)
        return found is not None and found["spec"] == before["spec"]

    wait_for(f"{kind} to be put right", right, seconds=60)


def test_a_deleted_configuration_comes_back_as_it_was(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    name = runner["status"]["activeRelease"]["configMap"]
    before = cluster.get("ConfigMap", name, namespace)
    assert before is not None
    cluster.delete("ConfigMap", name, namespace)
    found = wait_for("the configuration", lambda: cluster.get("ConfigMap", name, namespace))
    assert found["data"] == before["data"]


def test_an_image_set_by_hand_is_reverted_and_nothing_restarts(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    pod = cluster.get("Pod", f"{RUNNER}-0", namespace)
    assert pod is not None
    image = "runner=tradepulse.local/runner:by-hand"
    cluster.kubectl("-n", namespace, "set", "image", f"statefulset/{RUNNER}", image)

    def reverted() -> bool:
        found = cluster.get("StatefulSet", RUNNER, namespace, "apps/v1")
        containers = (found or {})["spec"]["template"]["spec"]["containers"]
        return bool(containers[0]["image"] == scenario.GOOD)

    wait_for("the image to be reverted", reverted, seconds=60)
    same = cluster.get("Pod", f"{RUNNER}-0", namespace)
    assert same is not None
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]


def test_suspending_stops_cleanly_and_resuming_trades_again(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    cluster.patch("TradingRunner", RUNNER, namespace, {"spec": {"suspend": True}}, API_VERSION)

    def stopped() -> bool:
        found = cluster.runner(RUNNER, namespace)
        gone = cluster.get("Pod", f"{RUNNER}-0", namespace) is None
        return gone and phase(found) == "Suspended"

    wait_for("the runner to be suspended", stopped, seconds=60)
    cluster.patch("TradingRunner", RUNNER, namespace, {"spec": {"suspend": False}}, API_VERSION)
    scenario.trading(cluster, RUNNER, namespace)


def test_a_lost_state_volume_is_never_replaced_by_an_empty_one(
    cluster: Cluster, namespace: str
) -> None:
    name = "lost"
    scenario.start(cluster, name, namespace)
    cluster.delete("PersistentVolumeClaim", f"{name}-state", namespace)
    cluster.delete("Pod", f"{name}-0", namespace)

    def stalled() -> Manifest | None:
        found = condition(cluster.runner(name, namespace), "Stalled")
        return found if found and found["status"] == "True" else None

    told = wait_for("the runner to be stalled", stalled, seconds=90)
    assert told["reason"] == "StateLost"
    assert cluster.get("PersistentVolumeClaim", f"{name}-state", namespace) is None


@pytest.mark.parametrize("reclaim", ["Retain", "Delete"])
def test_deleting_a_runner_stops_trading_first(
    cluster: Cluster, namespace: str, reclaim: str
) -> None:
    name = f"gone-{reclaim.lower()}"
    scenario.start(cluster, name, namespace, state={"size": "64Mi", "reclaim": reclaim})
    cluster.delete("TradingRunner", name, namespace, API_VERSION)

    def gone() -> bool:
        runner, pod = cluster.runner(name, namespace), cluster.get("Pod", f"{name}-0", namespace)
        # The runner may be gone only when its pod is.
        assert not (runner is None and pod is not None), "the runner vanished before its pod"
        return runner is None

    wait_for("the runner to be gone", gone, seconds=90)
    claim = f"{name}-state"
    if reclaim == "Retain":
        assert cluster.get("PersistentVolumeClaim", claim, namespace) is not None
    else:
        wait_for(
            "the volume to be gone",
            lambda: cluster.get("PersistentVolumeClaim", claim, namespace) is None,
        )
