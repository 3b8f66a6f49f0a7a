"""The previous release and this one, in every pairing of operator and runner.

A newer or older operator restarts no pod and starts no cutover, also while one is under way; and a
runner of the previous release is started, moved on, taken back, drilled and stopped by this one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import api
from tests.support.cluster.progress import Progress
from tests.support.e2e import environment, scenario
from tests.support.e2e.client import (
    API_VERSION,
    Cluster,
    Manifest,
    condition,
    is_true,
    phase,
    wait_for,
)
from tests.support.images import build, node, previous

IDLE, MOVING, RETURNING, ENGAGED = "idle", "moving", "returning", "engaged"
#: Long enough to be under way when the operator is replaced.
SLOW = {**scenario.POLICY, "bake": "90s"}


@pytest.fixture(scope="module")
def old_operator(cluster: Cluster) -> Iterator[None]:
    """The previous release's operator, with its CRDs; this one's comes back at the end."""
    progress, podman = Progress(), api.ensure_podman()
    node.load(build.ensure_previous(api.paths, podman, progress), api.paths, podman, progress)
    downgrade()
    yield
    environment.up()


def downgrade() -> None:
    environment.install_operator(previous.OPERATOR_IMAGE, Progress(), previous.sources())


def pod_of(cluster: Cluster, name: str, namespace: str) -> tuple[str, int]:
    """(uid, restarts) of a runner's pod."""
    found = cluster.get("Pod", f"{name}-0", namespace)
    assert found is not None, f"{name} has no pod"
    statuses = found["status"]["containerStatuses"]
    return found["metadata"]["uid"], sum(item["restartCount"] for item in statuses)


def engage(cluster: Cluster, name: str, namespace: str, engaged: bool) -> None:
    order = {"engaged": engaged, "reason": "test: pairing" if engaged else ""}
    body = {"spec": {"killSwitch": order}}
    cluster.patch("TradingRunner", name, namespace, body, API_VERSION)


def stopped(cluster: Cluster, name: str, namespace: str) -> Manifest:
    def look() -> Manifest | None:
        found = cluster.runner(name, namespace)
        return found if is_true(found, "KillSwitch") else None

    return wait_for(f"the kill switch of {name}", look, seconds=30)


def seen_by_the_operator(cluster: Cluster) -> None:
    """Every runner was looked at by the operator that runs now, and nothing is left to write."""
    environment.await_resyncs(2)


@pytest.mark.timeout(1200)
def test_operators_replace_each_other_under_running_runners(
    cluster: Cluster, namespace: str, old_operator: None
) -> None:
    old = previous.RUNNER_IMAGE
    for name in (IDLE, ENGAGED):
        scenario.start(cluster, name, namespace, image=old)
    for name in (MOVING, RETURNING):
        slow = {"mode": "Automatic", "template": SLOW}
        scenario.start(cluster, name, namespace, image=old, cutover=slow)
    forth = scenario.release(cluster, MOVING, namespace, scenario.NEXT)
    scenario.reaches(cluster, forth, namespace, "Baking")
    pods = {name: pod_of(cluster, name, namespace) for name in (IDLE, ENGAGED, MOVING)}

    environment.up()  # the upgrade, in the middle of a bake
    seen_by_the_operator(cluster)
    assert {name: pod_of(cluster, name, namespace) for name in pods} == pods
    assert phase(cluster.cutover(forth, namespace)) in ("Baking", "Succeeded")
    done = scenario.reaches(cluster, forth, namespace, "Succeeded")
    assert [record["phase"] for record in done["status"]["phases"]].count("Baking") == 1
    engage(cluster, ENGAGED, namespace, True)
    stopped(cluster, ENGAGED, namespace)

    back = scenario.release(cluster, RETURNING, namespace, scenario.BAD["error rate"])
    scenario.reaches(cluster, back, namespace, "Baking", "RollingBack", "Verifying", "RolledBack")

    downgrade()  # in the middle of a bake or of the rollback
    found = scenario.reaches(cluster, back, namespace, "RolledBack")
    assert found["status"]["backup"]["sha256"]
    seen_by_the_operator(cluster)
    assert {name: pod_of(cluster, name, namespace) for name in pods} == pods
    stopped(cluster, ENGAGED, namespace)

    environment.up()
    seen_by_the_operator(cluster)
    assert {name: pod_of(cluster, name, namespace) for name in pods} == pods
    for name, count in {IDLE: 0, ENGAGED: 0, MOVING: 1, RETURNING: 1}.items():
        assert len(cluster.cutovers(namespace, name)) == count, name
    runner = scenario.trading(cluster, IDLE, namespace)
    assert runner["status"]["activeRelease"]["image"] == old
    assert not is_true(runner, "ReleaseDrift")
    runner = scenario.trading(cluster, RETURNING, namespace)
    assert runner["status"]["activeRelease"]["image"] == old
    assert condition(runner, "KillSwitch") is None or not is_true(runner, "KillSwitch")


@pytest.mark.timeout(900)
def test_a_runner_of_the_previous_release_under_this_operator(
    cluster: Cluster, namespace: str, old_operator: None
) -> None:
    """Started, restarted, taken back to by a rollback, moved on, stopped by the kill switch."""
    environment.up()
    name = "older"
    scenario.start(cluster, name, namespace, image=previous.RUNNER_IMAGE)
    uid, _ = pod_of(cluster, name, namespace)
    cluster.delete("Pod", f"{name}-0", namespace)

    def another() -> bool:
        found = cluster.get("Pod", f"{name}-0", namespace)
        return found is not None and found["metadata"]["uid"] != uid

    wait_for("another pod", another, seconds=60)
    scenario.trading(cluster, name, namespace)

    bad = scenario.release(cluster, name, namespace, scenario.BAD["error rate"])
    found = scenario.reaches(cluster, bad, namespace, "RolledBack")
    assert found["status"]["backup"]["sha256"]
    runner = scenario.trading(cluster, name, namespace)
    assert runner["status"]["activeRelease"]["image"] == previous.RUNNER_IMAGE

    good = scenario.release(cluster, name, namespace, scenario.NEXT)
    scenario.reaches(cluster, good, namespace, "Succeeded")
    back = scenario.release(cluster, name, namespace, previous.RUNNER_IMAGE)
    scenario.reaches(cluster, back, namespace, "Succeeded")
    engage(cluster, name, namespace, True)
    stopped(cluster, name, namespace)
