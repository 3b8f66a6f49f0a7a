"""Operator and process judge the same counts alike, whatever they are.

Only here both are imported side by side. What Hypothesis found is explained in decision 0012, and
kept as a vector in ``tests/vectors/slo``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from tests.unit.guard.vector_replay import LEVELS
from tests.unit.guard.vector_replay import levels as operator_says
from tests.unit.runner.slo_replay import levels as process_says
from tests.vectors.slo import BOUNDS, START, Process, vector

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
