"""Prometheus down is neither a breach nor a credit: the cutover holds."""

from __future__ import annotations

from tests.support.e2e import environment, scenario
from tests.support.e2e.client import Cluster, Manifest, phase, wait_for
from tests.support.e2e.faulty_prometheus import FAULTS, Faulty, faulty_prometheus

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


def test_answers_that_cannot_be_relied_on_neither_roll_back_nor_promote(
    cluster: Cluster, namespace: str
) -> None:
    """The dangerous part of the verdict matrix: samples that another tool takes for a breach, or
    for none. One bake goes through all of them and ends well."""
    with faulty_prometheus() as prometheus:
        guardrails = {**scenario.POLICY["guardrails"], "prometheus": prometheus.url}
        policy = {**scenario.POLICY, "guardrails": guardrails, "bake": "25s"}
        automatic = {"mode": "Automatic", "template": policy}
        scenario.start(cluster, "faulty", namespace, cutover=automatic)
        name = scenario.release(cluster, "faulty", namespace, scenario.NEXT)
        scenario.reaches(cluster, name, namespace, "Baking")
        for fault, (_, reason) in FAULTS.items():
            _holds(cluster, name, namespace, prometheus, fault, reason)
        found = scenario.reaches(cluster, name, namespace, "Succeeded")
    assert found["status"]["bake"]["verifiedSeconds"] >= 25


def _holds(
    cluster: Cluster, name: str, namespace: str, prometheus: Faulty, fault: str, reason: str
) -> None:
    """With `fault` the verdict becomes unknown, for that reason, and stays so over two answers."""

    def status() -> Manifest:
        found = cluster.cutover(name, namespace)
        assert phase(found) == "Baking", (fault, phase(found), (found or {})["status"]["message"])
        return dict((found or {})["status"])

    def unknown() -> bool:
        verdict = status().get("verdict") or {}
        return verdict.get("verdict") == "unknown" and verdict["message"].startswith(reason)

    prometheus.fault = fault
    try:
        wait_for(f"the verdict unknown: {reason}, with {fault}", unknown, seconds=60)
        verified, answered = status()["bake"]["verifiedSeconds"], prometheus.answered
        wait_for(f"more {fault}", lambda: prometheus.answered >= answered + 3, seconds=60)
        assert status()["bake"]["verifiedSeconds"] == verified
    finally:
        prometheus.fault = ""
