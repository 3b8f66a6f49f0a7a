"""Operator and process judge the same counts alike, whatever they are.

Only here both are imported side by side. What Hypothesis found is explained in decision 0012, and
kept as a vector in ``tests/contract/vectors/slo``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from tests.contract.operator_replay import LEVELS
from tests.contract.operator_replay import levels as operator_says
from tests.contract.runner_replay import LEVELS as REASONS
from tests.contract.runner_replay import config
from tests.contract.runner_replay import levels as process_says
from tests.contract.vectors.slo import BOUNDS, START, Process, vector
from tradepulse_runner.guard.auto_rollback import AutoRollbackGuard
from tradepulse_runner.live.metrics import RunnerMetrics

EVERY = 15
LATENCIES = (*BOUNDS, 20.0)
loads = some.fixed_dictionaries(
    {
        "ok": some.integers(0, 60),
        "error": some.sampled_from([0, 0, 0, 1, 2, 5]),
        "latency": some.sampled_from(LATENCIES),
        "venue": some.sampled_from(["paper", "second"]),
    }
)
#: Per scrape: what was counted before it, and whether the loop was alive.
scrapes = some.lists(
    some.tuples(
        some.lists(loads, max_size=2), some.sampled_from(["yes"] * 6 + ["silent", "frozen"])
    ),
    min_size=1,
    max_size=30,
)


def lived(life: list[tuple[list[dict[str, Any]], str]]) -> Process:
    made = Process()
    for venue in ("paper", "second"):
        made.requests(venue=venue)
    beat = START
    for at in (START - EVERY, START):
        made.scrape(at)
    for number, (counted, alive) in enumerate(life, start=1):
        at = START + number * EVERY
        for load in counted:
            made.requests(**load)
        if alive == "yes":
            beat = at
        if alive != "silent":
            made.scrape(at, beat=beat)
    return made


@settings(max_examples=300, deadline=None)
@given(
    life=scrapes,
    errors=some.sampled_from([0.01, 0.02, 0.05, 0.5, 1.0]),
    p95=some.sampled_from([0.005, 0.1, 0.45, 0.5, 1.0, 9.5, 10.0]),
    enough=some.sampled_from([1, 20, 50]),
)
def test_the_same_counts_at_the_same_times_give_the_same_verdicts(
    life: list[tuple[list[dict[str, Any]], str]], errors: float, p95: float, enough: int
) -> None:
    """Judged at every scrape of the runner. Where a scrape was missed the operator may not know
    what the process knows, but never claims the opposite."""
    made = lived(life)
    at = START + len(life) * EVERY
    scene = vector("", made, {"at": at}, error_rate=errors, p95=p95, min_requests=enough)
    whole = not any(alive == "silent" for _, alive in life)
    theirs, ours = operator_says(scene, at), process_says(scene, at)
    for level in LEVELS:
        if whole or theirs[level] != "unknown":
            assert theirs[level] == ours[level], level


moments = some.lists(
    some.lists(
        some.tuples(
            some.floats(0.01, 1.0),
            some.floats(0, 12) | some.sampled_from(LATENCIES),
            some.sampled_from([True] * 12 + [False]),
        ),
        max_size=30,
    ),
    min_size=1,
    max_size=26,
)


@settings(max_examples=150, deadline=None)
@given(
    life=moments, p95=some.sampled_from([0.1, 0.5, 5.0, 10.0]), enough=some.sampled_from([1, 20])
)
def test_real_metrics_scraped_and_the_guard_fed_at_once_give_the_same_verdicts(
    life: list[list[tuple[float, float, bool]]], p95: float, enough: int
) -> None:
    """Outcomes at any moment, counted by the runner's own metrics and told to its guard. At the
    instant of a scrape, both know the same."""
    metrics = RunnerMetrics(["paper"])
    end = START + len(life) * EVERY
    scene = vector("", Process(), {"at": end}, p95=p95, min_requests=enough)
    guard = AutoRollbackGuard(config(scene))
    guard.expect("heartbeat", timestamp=START)
    for number, outcomes in enumerate([[], *life]):
        for share, seconds, success in sorted(outcomes):
            metrics.latency.labels("paper").observe(seconds)
            metrics.outcomes.labels("paper", "ok" if success else "error").inc()
            at = START + (number - 1 + share) * EVERY
            guard.record_outcome(seconds * 1000, success, timestamp=at)
        at = START + number * EVERY
        scene["samples"].append(scraped(metrics, at))
        guard.note("heartbeat", timestamp=at)
        guard.evaluate(timestamp=at)
    ours = {level: str(guard.findings[reason].kind) for level, reason in REASONS.items()}
    assert operator_says(scene, end) == ours


def scraped(metrics: RunnerMetrics, at: float) -> dict[str, Any]:
    """What Prometheus reads at ``at``, as a vector's sample."""

    def value(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(name, {"venue": "paper", **labels})
        assert found is not None, (name, labels)
        return found

    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    count: dict[str, Any] = {
        outcome: value("tradepulse_order_outcomes_total", outcome=outcome)
        for outcome in ("ok", "error")
    }
    name = "tradepulse_order_latency_seconds_bucket"
    count["buckets"] = [value(name, le=bound) for bound in bounds]
    return {"at": at, "heartbeat": at, "venues": {"paper": count}}
