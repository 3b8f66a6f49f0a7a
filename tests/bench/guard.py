"""How often the guard is wrong, and how long it takes to be right, in simulated time.

A/A: the new release is as good as the old one; every rollback is a false one. Regression: errors,
or latencies, are twice the limit, or twice what the old release had, from the first order on.
Orders come at random (Poisson), each fails at random, latencies are log-normal. Default policy:
5 min of bake, judged every 15 s; with the own baseline, one is measured anew for every cutover.

    python -m tests.bench.guard [--cutovers 1000] [--only own]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tradepulse_operator.api.baseline import BaselinePolicy
from tradepulse_operator.api.policy import CutoverPolicy
from tradepulse_operator.api.units import seconds
from tradepulse_operator.guard.bake import Decision, advance, begin
from tradepulse_operator.guard.baseline import measure, own_limits, tightened
from tradepulse_operator.guard.limits import Limits, limits
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_runner.guard.slo import LATENCY_BUCKETS

SCRAPE = "15s"
#: Simulated seconds after which a bake that holds for want of orders is counted as such.
PATIENCE = 1800.0
#: As someone may set it: a fifth of a percent more errors, a quarter longer.
OWN = BaselinePolicy(error_rate_increase=0.002, p95_increase=0.25)
BOUNDS = (*LATENCY_BUCKETS, float("inf"))


@dataclass(frozen=True)
class Release:
    """Orders a second, the share that fails, and the p95 of the others' latency in seconds."""

    rate: float
    errors: float
    p95: float


def policy() -> Limits:
    default = CutoverPolicy()
    return limits(default.guardrails, SCRAPE, required=seconds(default.bake))


def recording(release: Release, until: float, chance: np.random.Generator) -> Recording:
    """What Prometheus holds of a release that began at 0."""
    every = seconds(SCRAPE)
    times = np.arange(1.0, until, every)
    orders = chance.poisson(release.rate * np.diff(times, prepend=0.0))
    failed = chance.binomial(orders, release.errors)
    labels = {"instance": "i", "pod": "p", "venue": "v"}
    spread = 0.5  # sigma of ln(latency); the 95th percentile lies 1.645 of it above the median
    median = release.p95 / np.exp(1.645 * spread)
    buckets = np.stack(
        [
            np.histogram(
                chance.lognormal(np.log(median), spread, count), bins=np.array([0.0, *BOUNDS])
            )[0]
            for count in orders
        ]
    )
    # A bucket holds everything up to its bound, and a counter everything since the start.
    latency = buckets.cumsum(axis=1).cumsum(axis=0)

    def series(name: str, values: np.ndarray, **more: str) -> Series:
        points = tuple(zip(times.tolist(), values.astype(float).tolist(), strict=True))
        return Series({"__name__": name, **labels, **more}, points)

    outcome = "tradepulse_order_outcomes_total"
    le = ("+Inf" if np.isinf(bound) else str(bound) for bound in BOUNDS)
    return Recording(
        0.0,
        until,
        runner=(
            series("live_loop_heartbeat", times),
            series(outcome, (orders - failed).cumsum(), outcome="ok"),
            series(outcome, failed.cumsum(), outcome="error"),
            *(
                series("tradepulse_order_latency_seconds_bucket", latency[:, n], le=bound)
                for n, bound in enumerate(le)
            ),
        ),
        control=(Series({"__name__": "up"}, tuple((t, 1.0) for t in np.arange(0.0, until, 5.0))),),
    )


def own(before: Release, held: Limits, chance: np.random.Generator) -> Limits:
    """`held`, and what follows from a window of the release `before` it."""
    end = seconds(OWN.window)
    measured = measure(recording(before, end, chance), end, end, held)
    return tightened(held, *own_limits(measured, OWN.error_rate_increase, OWN.p95_increase))


def cutover(
    release: Release, held: Limits, seed: int, before: Release | None = None
) -> tuple[Decision, float]:
    """How a bake of `release` ends, and after how many seconds; compared with `before`, if any."""
    chance = np.random.default_rng(seed)
    held = held if before is None else own(before, held, chance)
    seen = recording(release, PATIENCE, chance)
    found = advance(begin(0.0), seen, PATIENCE, held)
    return found.decision, found.checkpoint.evaluated_until


def row(
    name: str, release: Release, held: Limits, cutovers: int, before: Release | None = None
) -> tuple[str, ...]:
    seeds = track(range(cutovers), name, transient=True)
    ends = [cutover(release, held, seed, before) for seed in seeds]
    back = [after for decision, after in ends if decision is Decision.ROLLBACK]
    share = {
        kind: sum(decision is kind for decision, _ in ends) / cutovers
        for kind in (Decision.PROMOTE, Decision.CONTINUE)
    }
    delay = f"{np.median(back):.0f} / {np.percentile(back, 99):.0f} s" if back else "-"
    return (
        name,
        f"{release.rate:g}/s",
        f"{len(back) / cutovers:.2%}",
        f"{share[Decision.PROMOTE]:.2%}",
        f"{share[Decision.CONTINUE]:.2%}",
        delay,
    )


def rows(held: Limits) -> Iterator[tuple[str, Release, Release | None]]:
    """(name, new release, old release where it is compared with that)."""
    for rate in (0.5, 2.0, 8.0):
        for name, errors, p95 in (
            ("A/A, 0.5 % errors, p95 300 ms", 0.005, 0.3),
            ("errors at twice the limit", 2 * held.error_rate, 0.3),
            ("p95 at twice the limit", 0.005, 2 * held.p95),
        ):
            yield name, Release(rate, errors, p95), None
        before = Release(rate, 0.004, 0.12)
        for name, errors, p95 in (
            ("own: A/A, 0.4 %, p95 120 ms", 0.004, 0.12),
            ("own: errors twice, 0.8 %", 0.008, 0.12),
            ("own: errors four times, 1.6 %", 0.016, 0.12),
            ("own: p95 twice, 240 ms", 0.004, 0.24),
        ):
            yield name, Release(rate, errors, p95), before


@click.command()
@click.option("--cutovers", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--only", default="", help="Only rows whose name holds this.")
def main(cutovers: int, only: str) -> None:
    """Simulate cutovers and print how they end."""
    held = policy()
    table = Table(title=f"{cutovers} simulated cutovers each, default policy")
    columns = ("", "orders", "rolled back", "promoted", f"held {PATIENCE:.0f} s", "p50 / p99 of it")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for name, release, before in rows(held):
        if only in name:
            table.add_row(*row(name, release, held, cutovers, before))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
