"""A runner comes up as its manifest says, and idles without a write."""

from __future__ import annotations

import json

import pytest

from tests.support.e2e import environment, scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, condition, is_true, wait_for

RUNNER = "bringup"


@pytest.fixture(scope="module")
def runner(cluster: Cluster, namespace: str) -> Manifest:
    return scenario.start(cluster, RUNNER, namespace)


def test_status_tells_what_runs(runner: Manifest) -> None:
    status = runner["status"]
    assert status["observedGeneration"] == runner["metadata"]["generation"]
    assert status["activeRelease"]["image"] == scenario.GOOD
    assert status["activeRelease"]["imageId"]
    assert is_true(runner, "TradingEnabled")
    assert not is_true(runner, "KillSwitch")
    assert condition(runner, "Reconciling") is None
    assert condition(runner, "Stalled") is None


def test_children_belong_to_the_runner(cluster: Cluster, namespace: str, runner: Manifest) -> None:
    kinds = {
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
    for kind, version in kinds.items():
        child = cluster.get(kind, RUNNER, namespace, version)
        assert child is not None, kind
        owners = child["metadata"]["ownerReferences"]
        assert [owner["uid"] for owner in owners] == [runner["metadata"]["uid"]], kind


def test_the_state_claim_outlives_the_runner_by_default(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    claim = cluster.get("PersistentVolumeClaim", f"{RUNNER}-state", namespace)
    assert claim is not None
    assert not claim["metadata"].get("ownerReferences")


def test_configuration_is_immutable_and_versioned(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    active = runner["status"]["activeRelease"]
    config = cluster.get("ConfigMap", active["configMap"], namespace)
    assert config is not None
    assert config["immutable"] is True
    assert config["metadata"]["labels"]["tradepulse.io/config-hash"] == active["configHash"]


def test_nothing_of_kopf_is_left_on_any_object(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    seen = json.dumps(
        [
            runner,
            cluster.get("StatefulSet", RUNNER, namespace, "apps/v1"),
            *cluster.objects("Pod", namespace),
        ]
    )
    assert "kopf" not in seen


def test_prometheus_scrapes_through_the_service_monitor(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    query = f'live_loop_heartbeat{{namespace="{namespace}",tradepulse_io_runner="{RUNNER}"}}'

    def look() -> list[Manifest] | None:
        return environment.prometheus_query(query) or None

    (series,) = wait_for("the runner's heartbeat in Prometheus", look)
    release = runner["status"]["activeRelease"]["id"]
    assert series["metric"]["tradepulse_io_release"] == release


def test_events_tell_each_transition_once(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    def look() -> list[Manifest] | None:
        found = cluster.objects("Event", namespace)
        about = [item for item in found if item["involvedObject"]["name"] == RUNNER]
        mine = [item for item in about if item["involvedObject"]["kind"] == "TradingRunner"]
        return mine or None

    events = wait_for("events of the runner", look)
    told = [(item["reason"], item["message"]) for item in events]
    assert len(told) == len(set(told))
    assert all((item.get("count") or 1) == 1 for item in events)


def test_idle_means_no_writes(cluster: Cluster, namespace: str, runner: Manifest) -> None:
    """Over two resyncs of the operator, a settled runner causes no write of any kind."""
    environment.settled()
    before = environment.operator_writes()
    environment.await_resyncs(2)
    after = environment.operator_writes()
    changed = {k: after[k] - before.get(k, 0) for k in after}
    assert {k: v for k, v in changed.items() if v} == {}


def test_kill_switch_reaches_the_process_without_a_restart(
    cluster: Cluster, namespace: str, runner: Manifest
) -> None:
    pod = cluster.get("Pod", f"{RUNNER}-0", namespace)
    assert pod is not None
    body = {"spec": {"killSwitch": {"engaged": True, "reason": "drill by the test"}}}
    cluster.patch("TradingRunner", RUNNER, namespace, body, API_VERSION)

    def engaged() -> Manifest | None:
        found = cluster.runner(RUNNER, namespace)
        trades = is_true(found, "TradingEnabled")
        return found if is_true(found, "KillSwitch") and not trades else None

    wait_for("the kill switch to stop trading", engaged, seconds=30)
    same = cluster.get("Pod", f"{RUNNER}-0", namespace)
    assert same is not None
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
