"""Prometheus down is neither a breach nor a credit: the cutover holds."""

from __future__ import annotations

from tests.e2e import environment, scenario
from tests.e2e.client import Cluster, phase, wait_for

RUNNER = "outage"


def test_a_cutover_holds_while_prometheus_is_down(cluster: Cluster, namespace: str) -> None:
    scenario.start(cluster, RUNNER, namespace)
    name = scenario.release(cluster, RUNNER, namespace, scenario.NEXT)
    scenario.reaches(cluster, name, namespace, "Baking")
    with environment.prometheus_down():

        def unknown() -> bool:
            found = cluster.cutover(name, namespace)
            assert phase(found) == "Baking", phase(found)
            status = (found or {})["status"]
            return bool((status.get("verdict") or {}).get("verdict") == "unknown")

        wait_for("the verdict unknown", unknown, seconds=60)
        held = environment.guard_judgements()
        # Several more judgements pass; each must hold.
        wait_for(
            "five more judgements",
            lambda: environment.guard_judgements() >= held + 5,
            seconds=60,
        )
        assert phase(cluster.cutover(name, namespace)) == "Baking"
    found = scenario.reaches(cluster, name, namespace, "Succeeded")
    assert found["status"]["bake"]["verifiedSeconds"] >= 20


def test_a_cutover_does_not_start_while_prometheus_is_down(
    cluster: Cluster, namespace: str
) -> None:
    name = "blind"
    scenario.start(cluster, name, namespace)
    with environment.prometheus_down():
        cutover = scenario.release(cluster, name, namespace, scenario.NEXT)
        scenario.reaches(cluster, cutover, namespace, "Preflight")

        def says() -> bool:
            status = (cluster.cutover(cutover, namespace) or {})["status"]
            return "Prometheus" in status.get("message", "")

        wait_for("the preflight to say that it waits for Prometheus", says, seconds=30)
        runner = cluster.runner(name, namespace)
        assert (runner or {})["status"]["activeRelease"]["image"] == scenario.GOOD
    scenario.reaches(cluster, cutover, namespace, "Succeeded")
