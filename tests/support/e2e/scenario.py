"""Runners and releases that the demo, the tests and the benchmarks act out."""

from __future__ import annotations

from typing import Any

from tests.support.e2e.client import API_VERSION, Cluster, Manifest, is_true, phase, wait_for
from tests.support.operator.runner_world import spec as runner_spec
from tradepulse_operator.incident.bundle import stage

REPOSITORY = "tradepulse.local/runner"
GOOD = f"{REPOSITORY}:1.0.0"
NEXT = f"{REPOSITORY}:1.1.0"
#: Releases with a defect in their order path that shows under load, by what it breaks.
BAD = {
    "error rate": f"{REPOSITORY}:1.2.0",
    "p95 latency": f"{REPOSITORY}:1.2.1",
    "metric gap": f"{REPOSITORY}:1.2.2",
}
#: What the guard must name for each of them.
GUARDRAIL = {"error rate": "errorRate", "p95 latency": "p95Latency", "metric gap": "metricGap"}

FINAL = ("Succeeded", "RolledBack", "Halted", "Failed")

#: Short enough for a person who watches, long enough for several scrapes a window.
POLICY: Manifest = {
    "guardrails": {
        "interval": "2s",
        "window": "10s",
        "metricGap": "7s",
        "consecutive": 2,
        "minRequests": 10,
    },
    "bake": "20s",
    "haltDeadline": "10s",
    "switchDeadline": "1m",
    "rollback": {"deadline": "3m"},
}


def runner(name: str, namespace: str, image: str = GOOD, **spec: Any) -> Manifest:
    """A TradingRunner that trades about eight orders a second on the paper venue."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TradingRunner",
        "metadata": {"name": name, "namespace": namespace},
        "spec": runner_spec(
            **{
                "release": {"image": image},
                "strategy": {"name": "momentum", "parameters": {"orders_per_second": 8}},
                "state": {"size": "64Mi"},
                "monitoring": {"scrapeInterval": "2s"},
                "cutover": {"mode": "Automatic", "template": POLICY},
                "pod": {"terminationGracePeriodSeconds": 15},
                **spec,
            }
        ),
    }


def start(cluster: Cluster, name: str, namespace: str, **spec: Any) -> Manifest:
    """Apply a runner and wait until it trades."""
    cluster.namespace(namespace)
    cluster.apply(runner(name, namespace, **spec))
    return trading(cluster, name, namespace)


def trading(cluster: Cluster, name: str, namespace: str, seconds: float = 120) -> Manifest:
    """Wait until a runner trades."""

    def look() -> Manifest | None:
        found = cluster.runner(name, namespace)
        return found if is_true(found, "Ready") and phase(found) == "Trading" else None

    return wait_for(f"runner {namespace}/{name} to trade", look, seconds=seconds)


def release(cluster: Cluster, name: str, namespace: str, image: str) -> str:
    """Ask for another release, as a commit to Git does; returns the cutover it starts."""
    before = {item["metadata"]["name"] for item in cluster.cutovers(namespace, name)}
    body = {"spec": {"release": {"image": image}}}
    cluster.patch("TradingRunner", name, namespace, body, API_VERSION)

    def look() -> str | None:
        names = [item["metadata"]["name"] for item in cluster.cutovers(namespace, name)]
        return next((found for found in names if found not in before), None)

    return wait_for(f"a cutover of {namespace}/{name} to {image}", look, seconds=60)


def reaches(
    cluster: Cluster, cutover: str, namespace: str, *phases: str, seconds: float = 240
) -> Manifest:
    """Wait until a cutover is in one of `phases`; an unexpected end fails at once."""

    def look() -> Manifest | None:
        found = cluster.cutover(cutover, namespace)
        if phase(found) in phases:
            return found
        if phase(found) in FINAL:
            message = (found or {})["status"].get("message")
            raise AssertionError(f"{cutover} ended {phase(found)}: {message}")
        return None

    return wait_for(f"cutover {cutover} to be {' or '.join(phases)}", look, seconds=seconds)


def final_report(cluster: Cluster, cutover: Manifest) -> Manifest:
    """Wait until the report of a cutover that was taken back has its outcome."""
    meta, name = cutover["metadata"], cutover["status"]["report"]["configMap"]

    def look() -> Manifest | None:
        found = cluster.get("ConfigMap", name, meta["namespace"])
        return found if stage(found, meta["uid"]) == "final" else None

    return wait_for("the final report", look, seconds=30)
