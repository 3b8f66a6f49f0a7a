"""The operator is killed with SIGKILL in every phase; everything converges as if it never was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.e2e import environment, scenario
from tests.support.e2e.client import Cluster, Manifest, phase, wait_for
from tests.support.e2e.watching import PodWatch

FORTH = ("Pending", "Preflight", "Halting", "BackingUp", "Switching", "Baking")
BACK = ("RollingBack", "Verifying")


def kill_in_each(cluster: Cluster, cutover: str, namespace: str, wanted: Sequence[str]) -> Manifest:
    """Kill the operator once in every phase that is seen, until the end. A phase that lasts only
    for an instant may pass between two looks; the exploration of the state machine crashes there.
    """
    killed: set[str] = set()

    def look() -> Manifest | None:
        found = cluster.cutover(cutover, namespace)
        now = phase(found)
        if now in scenario.FINAL:
            return found
        if now in wanted and now not in killed and environment.kill_operator():
            killed.add(now)
        return None

    found = wait_for(f"{cutover} to end", look, seconds=420, every=0.05)
    print(f"killed in {', '.join(sorted(killed))}")
    assert len(killed) >= len(wanted) // 2, killed
    return found


@pytest.mark.parametrize(
    ("image", "end", "phases"),
    [
        (scenario.NEXT, "Succeeded", FORTH),
        (scenario.BAD["error rate"], "RolledBack", (*FORTH, *BACK)),
    ],
)
@pytest.mark.timeout(600)
def test_killed_in_each_phase_it_converges(
    cluster: Cluster, namespace: str, image: str, end: str, phases: Sequence[str]
) -> None:
    name = f"crash-{end.lower()}"
    scenario.start(cluster, name, namespace)
    with PodWatch(cluster, namespace, name) as pods:
        cutover = scenario.release(cluster, name, namespace, image)
        found = kill_in_each(cluster, cutover, namespace, phases)
    assert phase(found) == end, found["status"].get("message")
    entered = [record["phase"] for record in found["status"]["phases"]]
    assert entered == [*phases, end]
    assert pods.most_at_once == 1
    runner = scenario.trading(cluster, name, namespace)
    assert runner["status"]["activeRelease"]["image"] == (
        scenario.NEXT if end == "Succeeded" else scenario.GOOD
    )
    assert len(cluster.cutovers(namespace, name)) == 1
