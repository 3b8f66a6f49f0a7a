"""The bake follows from the samples alone, and only seconds that were seen count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner
from tradepulse_operator.guard.bake import (
    BakeProgress,
    Checkpoint,
    Decision,
    advance,
    begin,
    next_evaluation,
)
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.samples import Recording

START = 600.0
LONG = replace(LIMITS, required=1e9)


def at_once(world: RecordedWorld, now: float, rules: Limits = LIMITS) -> BakeProgress:
    return advance(begin(START), world.recording(0, now), now, rules)


def test_a_good_release_is_promoted_when_its_bake_is_verified() -> None:
    assert at_once(RecordedWorld(), START + 110).decision is Decision.CONTINUE
    found = at_once(RecordedWorld(), START + 160)
    assert found.decision is Decision.PROMOTE
    assert found.checkpoint.verified_seconds >= 120
    assert found.checkpoint.verified_seconds <= found.checkpoint.evaluated_until - START


def test_a_bad_release_is_rolled_back_after_consecutive_breaches() -> None:
    world = RecordedWorld(Runner(errors=lambda at: 0.5 if at > START + 60 else 0))
    found = at_once(world, START + 300)
    assert found.decision is Decision.ROLLBACK
    assert found.checkpoint.consecutive == 2
    assert found.checkpoint.evaluated_until <= START + 60 + 15 + 2 * 15


def test_one_breach_is_not_two() -> None:
    assert (
        at_once(RecordedWorld(Runner(silent=((700, 742),))), 900, LONG).decision
        is Decision.CONTINUE
    )


def test_an_outage_is_a_pause_and_not_credit() -> None:
    outage = RecordedWorld(down=((START + 50, START + 350),))
    before = at_once(outage, START + 300)
    assert before.decision is Decision.CONTINUE
    assert before.verdict is not None
    assert before.verdict.decisive.reason == "PrometheusDown"
    assert before.checkpoint.verified_seconds <= 60
    after = at_once(outage, START + 600)
    assert after.decision is Decision.PROMOTE
    assert after.checkpoint.evaluated_until >= START + 120 + 300 - 31


def test_an_unreachable_prometheus_leaves_the_bake_where_it_was() -> None:
    checkpoint = Checkpoint(START, START + 45, 30, 1, START + 45)
    found = advance(checkpoint, Recording(0, 900, outage="503"), 900, LIMITS)
    assert (found.checkpoint, found.decision) == (checkpoint, Decision.CONTINUE)


def test_a_breach_on_both_sides_of_an_outage_is_two_in_a_row() -> None:
    recording = RecordedWorld(Runner(errors=lambda _: 0.5), down=((650, 900),)).recording(0, 1000)
    checkpoint = Checkpoint(START, 645, 0, 1, 645)
    found = advance(checkpoint, recording, 1000, LIMITS)
    assert found.decision is Decision.ROLLBACK


def test_patience_ends_only_without_evidence() -> None:
    rules = replace(LONG, patience=200)
    quiet = RecordedWorld(Runner(rate=0))
    assert at_once(quiet, START + 190, rules).decision is Decision.CONTINUE
    assert at_once(quiet, START + 210, rules).decision is Decision.INCONCLUSIVE
    assert at_once(RecordedWorld(), START + 600, rules).decision is Decision.CONTINUE
    assert at_once(quiet, START + 9999, LONG).decision is Decision.CONTINUE


def test_late_samples_are_waited_for() -> None:
    """A store that lags shows nothing new; that is no gap, and it is judged when it has come."""
    world = RecordedWorld()
    lagging = world.recording(0, START + 200)
    found = advance(begin(START), lagging, START + 400, LONG)
    assert found.decision is Decision.CONTINUE
    assert found.checkpoint.evaluated_until <= START + 200 + 31
    later = advance(found.checkpoint, world.recording(0, START + 400), START + 400, LONG)
    assert later.checkpoint.evaluated_until == START + 390


def failing_from(begun: float) -> Callable[[float], float]:
    return lambda at: 1.0 if at >= begun else 0.0


def test_a_breach_is_decided_within_an_interval_of_being_visible() -> None:
    rules = replace(LIMITS, consecutive=1)
    for begun in range(int(START) + 60, int(START) + 90):
        world = RecordedWorld(Runner(errors=failing_from(begun)))
        now, decision = START + 45, Decision.CONTINUE
        while decision is Decision.CONTINUE:
            now += 0.25
            found = advance(begin(START), world.recording(0, now), now, rules)
            decision = found.decision
        assert decision is Decision.ROLLBACK
        # The first scrape that shows four bad seconds: fewer may be chance.
        visible = 7.0 + 15 * -(-(begun + 4 - 7) // 15) + rules.settle
        assert now - visible <= rules.interval + 0.25


def test_the_next_look_is_when_the_next_instant_can_be_judged() -> None:
    assert next_evaluation(begin(START), START + 1, LIMITS) == 15
    assert next_evaluation(begin(START), START + 15.5, LIMITS) == pytest.approx(0.5)
    assert next_evaluation(begin(START), START + 100, LIMITS) == 15, "one is due but waits for data"


spans = st.lists(
    st.tuples(st.integers(0, 600), st.integers(1, 120)).map(
        lambda s: (START + s[0], START + s[0] + s[1])
    ),
    max_size=2,
).map(tuple)


restarts = st.sets(st.integers(0, 600), max_size=2)
outages = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 200)), max_size=4)


@st.composite
def worlds(draw: st.DrawFn) -> RecordedWorld:
    bad = draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 60)), max_size=2))
    share = draw(st.sampled_from([0.0, 0.01, 0.03, 1.0]))

    def failing(at: float) -> float:
        hit = any(since <= at - START < since + long for since, long in bad)
        return share if hit else 0.0

    return RecordedWorld(
        Runner(
            born=draw(st.sampled_from([0.0, START - 20])),
            rate=draw(st.sampled_from([0.2, 1.0, 2.0])),
            errors=failing,
            silent=draw(spans),
            frozen=draw(spans),
            restarts=tuple(
                START + t for t in sorted(draw(st.sets(st.integers(0, 600), max_size=2)))
            ),
        ),
        down=draw(spans),
        offset=draw(st.integers(0, 14)),
    )


def outcome(found: BakeProgress) -> tuple[object, ...]:
    done = found.checkpoint
    kind = found.verdict.kind if found.verdict else None
    return done.evaluated_until, done.verified_seconds, done.consecutive, found.decision, kind


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(st.integers(1, 700), max_size=8), st.sampled_from([15, 20, 45]))
def test_folding_in_pieces_is_folding_at_once(
    world: RecordedWorld, looks: list[int], interval: int
) -> None:
    """…also when every piece sees only the samples that it asks for, as far as they exist."""
    rules = replace(LIMITS, interval=interval, required=400)
    end = START + 720
    whole = advance(begin(START), world.recording(0, end), end, rules)
    checkpoint = begin(START)
    for now in [*sorted(START + t for t in looks), end]:
        since = checkpoint.evaluated_until - rules.lookback
        found = advance(checkpoint, world.recording(since, now), now, rules)
        checkpoint = found.checkpoint
        if found.decision is not Decision.CONTINUE:
            break
    assert outcome(found)[:4] == outcome(whole)[:4]


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_verified_seconds_never_exceed_the_time_that_prometheus_saw(world: RecordedWorld) -> None:
    end = START + 600
    found = advance(begin(START), world.recording(0, end), end, LONG)
    dark = sum(
        max(0.0, min(until, end) - max(since, START) - 2 * LIMITS.metric_gap)
        for since, until in world.down
    )
    assert found.checkpoint.verified_seconds <= end - START - (dark if len(world.down) < 2 else 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 200)), max_size=4), st.integers(0, 14)
)
def test_no_pattern_of_outages_rolls_a_healthy_release_back(
    down: list[tuple[int, int]], offset: int
) -> None:
    spans = tuple((START + since, START + since + long) for since, long in down)
    world = RecordedWorld(down=spans, offset=offset)
    found = advance(begin(START), world.recording(0, START + 900), START + 900, LONG)
    assert found.decision is Decision.CONTINUE
