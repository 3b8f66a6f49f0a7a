"""`make bench`: how fast a bad release is seen, how fast it is gone, and what that costs.

Each figure is taken from what the cluster itself recorded: scrape timestamps in Prometheus, phases
in the cutover's status, request counters of the operator.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import click

from tests.support.e2e import environment, scenario
from tests.support.e2e.client import Cluster, Manifest, is_pod_ready, phase, wait_for
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.guardrails import Guardrails
from tradepulse_operator.guard.limits import limits
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.guard.verdict import judge

#: Kinds that are a runner's children: written as often as a release is moved, whoever moves it.
CHILDREN = ("ConfigMap", "StatefulSet", "Pod")


@dataclass(frozen=True)
class Sample:
    """One rollback, in seconds. ``steps``: how long each lasted; ``writes``: of the rolled-back
    cutover, ``good_writes``: of one that succeeded, by verb and kind."""

    seen_to_written: float
    written_to_trading: float
    steps: dict[str, float]
    writes: dict[str, float]
    good_writes: dict[str, float]


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def recorded(namespace: str, runner: str, release: str, since: float, until: float) -> Recording:
    """The samples of a release as Prometheus holds them."""
    labels = f'namespace="{namespace}",tradepulse_io_runner="{runner}"'
    window = f"[{int(until - since) + 1}s]"
    names = "live_loop_heartbeat|tradepulse_order_(outcomes_total|latency_seconds_bucket)"
    query = f'{{__name__=~"{names}",{labels},tradepulse_io_release="{release}"}}{window}'
    return Recording(
        since=since,
        until=until,
        runner=raw(query, until),
        control=raw(f"up{window}", until),
    )


def raw(query: str, at: float) -> tuple[Series, ...]:
    found = environment.prometheus_query(query, at=at)
    return tuple(
        Series(item["metric"], tuple((float(t), float(v)) for t, v in item["values"]))
        for item in found
    )


def until_then(recording: Recording, at: float) -> Recording:
    """What had been scraped by `at`."""

    def cut(series: tuple[Series, ...]) -> tuple[Series, ...]:
        return tuple(Series(s.labels, tuple(p for p in s.points if p[0] <= at)) for s in series)

    return Recording(recording.since, at, cut(recording.runner), cut(recording.control))


def breach_visible(recording: Recording, guardrails: Guardrails, scrape: str) -> float:
    """Timestamp of the first scrape after which the guard's own judgement is a breach."""
    rules = limits(guardrails, scrape)
    scrapes = sorted({t for series in recording.runner for t, _ in series.points})
    for at in scrapes:
        if judge(until_then(recording, at), at, rules).kind is VerdictKind.BREACH:
            return at
    raise click.ClickException("no scrape shows the breach: was Prometheus restarted meanwhile?")


def counted(move: Callable[[], Manifest]) -> tuple[Manifest, dict[str, float]]:
    """A move, and what it made the operator write, by verb and kind."""
    environment.settled()
    before = environment.operator_writes()
    found = move()
    environment.settled()
    after = environment.operator_writes()
    return found, {k: after[k] - before.get(k, 0) for k in after if after[k] - before.get(k, 0)}


def stepwise(cluster: Cluster, cutover: str, namespace: str) -> tuple[Manifest, dict[str, float]]:
    """A cutover that is taken back, and when each step of the way back began (unix seconds)."""
    began: dict[str, float] = {}

    def look() -> Manifest | None:
        found = cluster.cutover(cutover, namespace)
        back = (found or {}).get("status", {}).get("rollback")
        if back:
            began[back["step"]] = unix(back["stepAt"])
        return found if phase(found) in scenario.FINAL else None

    return wait_for(f"the rollback of {cutover}", look, seconds=180, every=0.1), began


def lasted(began: dict[str, float], at: dict[str, float]) -> dict[str, float]:
    """Seconds of each step, in order: those of RollingBack that were seen, and the verification."""
    every = {**began, "Verifying": at["Verifying"]}
    names = sorted(every, key=lambda name: every[name])
    ends = [*(every[name] for name in names[1:]), at["RolledBack"]]
    return {name: end - every[name] for name, end in zip(names, ends, strict=True)}


def one_rollback(cluster: Cluster, namespace: str, name: str) -> Sample:
    scenario.start(cluster, name, namespace)

    def good() -> Manifest:
        cutover = scenario.release(cluster, name, namespace, scenario.NEXT)
        return scenario.reaches(cluster, cutover, namespace, "Succeeded")

    _, good_writes = counted(good)
    began: dict[str, float] = {}

    def bad() -> Manifest:
        cutover = scenario.release(cluster, name, namespace, scenario.BAD["error rate"])
        found, steps = stepwise(cluster, cutover, namespace)
        began.update(steps)
        return found

    found, writes = counted(bad)
    status = found["status"]
    at = {record["phase"]: unix(record["at"]) for record in status["phases"]}
    recording = recorded(
        namespace, name, status["target"]["id"], at["Baking"], at["RollingBack"] + 1
    )
    seen = breach_visible(
        recording,
        Guardrails.model_validate(scenario.POLICY["guardrails"]),
        scenario.runner(name, namespace)["spec"]["monitoring"]["scrapeInterval"],
    )
    return Sample(
        seen_to_written=at["RollingBack"] - seen,
        written_to_trading=at["Verifying"] - at["RollingBack"],
        steps=lasted(began, at),
        writes=writes,
        good_writes=good_writes,
    )


def bare_restart(cluster: Cluster, namespace: str, name: str) -> float:
    """Delete → Ready of the same pod without an operator having to decide anything."""
    pod = cluster.get("Pod", f"{name}-0", namespace)
    if pod is None:
        raise click.ClickException(f"the pod {namespace}/{name}-0 is gone")
    begun = time.monotonic()
    cluster.delete("Pod", f"{name}-0", namespace)

    def ready() -> Manifest | None:
        found = cluster.get("Pod", f"{name}-0", namespace)
        other = found is not None and found["metadata"]["uid"] != pod["metadata"]["uid"]
        return found if other and is_pod_ready(found) else None

    wait_for(f"{name}-0 to be ready again", ready, every=0.05)
    return time.monotonic() - begun


def show(title: str, values: list[float], unit: str = "s") -> None:
    low, mid, high = min(values), statistics.median(values), max(values)
    click.echo(f"  {title:<58} {low:7.2f} {mid:7.2f} {high:7.2f} {unit}")


def show_writes(title: str, samples: list[dict[str, float]]) -> None:
    kinds = sorted({kind for sample in samples for kind in sample})
    median = {k: statistics.median(sample.get(k, 0) for sample in samples) for k in kinds}
    beyond = {k: n for k, n in median.items() if "Event" not in k and k.split()[-1] not in CHILDREN}
    click.echo(f"\n  API writes of {title} (median): {sum(median.values()):.0f}, of which")
    click.echo(f"  {sum(beyond.values()):.0f} beyond the children's own and events")
    for kind, count in median.items():
        click.echo(f"    {kind:<56} {count:5.0f}")


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rollbacks to measure.")
def main(rounds: int) -> None:
    """Measure rollbacks on the real cluster."""
    environment.up()
    cluster, namespace = Cluster(), f"bench-{uuid.uuid4().hex[:6]}"
    samples, restarts = [], []
    for number in range(rounds):
        name = f"bench-{number}"
        click.echo(f"round {number + 1} of {rounds}")
        samples.append(one_rollback(cluster, namespace, name))
        scenario.trading(cluster, name, namespace)
        restarts.append(bare_restart(cluster, namespace, name))
        cluster.delete("TradingRunner", name, namespace, "tradepulse.io/v1alpha1")
    click.echo(f"\n  {'':<58} {'min':>7} {'median':>7} {'max':>7}")
    show("breach visible in Prometheus → decision written", [s.seen_to_written for s in samples])
    show("decision → previous release trades", [s.written_to_trading for s in samples])
    show("the same pod, delete → Ready (no decision, no rollback)", restarts)
    ratios = [s.written_to_trading / r for s, r in zip(samples, restarts, strict=True)]
    show("ratio of the two", ratios, "×")
    for step in samples[0].steps:
        show(f"  the way back: {step}", [s.steps.get(step, 0.0) for s in samples])
    show_writes("a cutover that succeeds", [s.good_writes for s in samples])
    show_writes("a cutover that is taken back", [s.writes for s in samples])
    cluster.delete("Namespace", namespace, "")


if __name__ == "__main__":
    main()
