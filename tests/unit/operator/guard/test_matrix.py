"""The verdict matrix: every state of the samples × one service level or two, at one instant and
over a whole bake. No state that isn't a breach or a gap may lead back, none but ok forward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner, changed
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.guard.bake import Decision, advance, begin
from tradepulse_operator.guard.evidence import LATENCY, OUTCOMES
from tradepulse_operator.guard.results import ERROR_RATE, P95_LATENCY
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.guard.verdict import judge

OK, BREACH, GAP, UNKNOWN = VerdictKind.OK, VerdictKind.BREACH, VerdictKind.GAP, VerdictKind.UNKNOWN
START, AT = 300.0, 900.0
HELD = replace(LIMITS, required=120)
SLO = {OUTCOMES: ERROR_RATE, LATENCY: P95_LATENCY}

Change = Callable[[Series], list[Series]]


def _valued(value: float) -> Change:
    def change(one: Series) -> list[Series]:
        return [Series(one.labels, tuple((t, value) for t, _ in one.points))]

    return change


def _twice(one: Series) -> list[Series]:
    return [one, Series({**one.labels, "instance": "other"}, one.points)]


def _stale(one: Series) -> list[Series]:
    return [Series(one.labels, tuple(p for p in one.points if p[0] < START))]


@dataclass(frozen=True)
class State:
    """What the samples of one service level are like from the start of the watch on."""

    kind: VerdictKind
    change: Change = lambda one: [one]
    bad: bool = False


STATES: Mapping[str, State] = {
    "ok": State(OK),
    "breach": State(BREACH, bad=True),
    "empty": State(UNKNOWN, lambda _: []),
    "NaN": State(UNKNOWN, _valued(math.nan)),
    "+Inf": State(UNKNOWN, _valued(math.inf)),
    "-Inf": State(UNKNOWN, _valued(-math.inf)),
    "two series": State(UNKNOWN, _twice),
    "stale": State(UNKNOWN, _stale),
}


def recorded(errors: State, latency: State, world: RecordedWorld | None = None) -> Recording:
    runner = Runner(
        errors=(lambda _: 0.3) if errors.bad else (lambda _: 0.0),
        slow=(lambda _: 0.3) if latency.bad else (lambda _: 0.0),
    )
    world = replace(world or RecordedWorld(), runner=runner)
    found = world.recording(0, AT)
    for metric, state in ((OUTCOMES, errors), (LATENCY, latency)):
        found = changed(found, metric, state.change)
    return found


def worst(*kinds: VerdictKind) -> VerdictKind:
    return next(kind for kind in (GAP, BREACH, UNKNOWN, OK) if kind in kinds)


#: What a whole bake in that state comes to.
ENDS = {
    OK: Decision.PROMOTE,
    BREACH: Decision.ROLLBACK,
    GAP: Decision.ROLLBACK,
    UNKNOWN: Decision.CONTINUE,
}


@pytest.mark.parametrize("second", STATES.values(), ids=STATES)
@pytest.mark.parametrize("first", STATES.values(), ids=STATES)
def test_two_service_levels(first: State, second: State) -> None:
    found = recorded(first, second)
    verdict = judge(found, AT, HELD, start=START)
    kinds = {one.guardrail: one.kind for one in verdict.findings}
    assert (kinds[ERROR_RATE], kinds[P95_LATENCY]) == (first.kind, second.kind)
    expected = worst(first.kind, second.kind)
    assert verdict.kind is expected
    ended = advance(begin(START), found, AT, HELD)
    assert ended.decision is ENDS[expected]
    if expected is UNKNOWN:
        assert ended.checkpoint.verified_seconds == 0


def down(found: Recording) -> Recording:
    return Recording(found.since, found.until, outage="Prometheus answered 503")


def late(found: Recording) -> Recording:
    return Recording(found.since, found.until, outage="Prometheus gave no answer in 10 s")


def empty(found: Recording) -> Recording:
    """Prometheus answers and scrapes others; of this runner it has nothing."""
    return replace(found, runner=())


def blank(found: Recording) -> Recording:
    """Prometheus answers, and has nothing at all, e.g. with a new, empty database."""
    return replace(found, runner=(), control=())


def same(found: Recording) -> Recording:
    return found


RESTARTED = RecordedWorld(down=((START + 100, START + 250),))
#: Prometheus as a whole: (where, what becomes of its answer, verdict; None: what the samples say)
WHOLE: Mapping[str, tuple[RecordedWorld, Callable[[Recording], Recording], VerdictKind | None]] = {
    "whole": (RecordedWorld(), same, None),
    "5xx": (RecordedWorld(), down, UNKNOWN),
    "timeout": (RecordedWorld(), late, UNKNOWN),
    "empty": (RecordedWorld(), empty, GAP),
    "blank": (RecordedWorld(), blank, UNKNOWN),
    "Prometheus restarted": (RESTARTED, same, None),
}
TWO = {"ok, ok": ("ok", "ok"), "breach, ok": ("breach", "ok"), "breach, breach": ("breach",) * 2}


@pytest.mark.parametrize("states", TWO.values(), ids=TWO)
@pytest.mark.parametrize(("world", "change", "kind"), WHOLE.values(), ids=WHOLE)
def test_prometheus_itself(
    world: RecordedWorld,
    change: Callable[[Recording], Recording],
    kind: VerdictKind | None,
    states: tuple[str, str],
) -> None:
    first, second = (STATES[name] for name in states)
    found = change(recorded(first, second, world))
    expected = kind or worst(first.kind, second.kind)
    assert judge(found, AT, HELD, start=START).kind is expected
    assert advance(begin(START), found, AT, HELD).decision is ENDS[expected]


@pytest.mark.parametrize("delay", [0.0, 5.0, 9.9])
@pytest.mark.parametrize("name", ["ok", "breach"])
def test_a_slow_answer_is_judged_as_of_when_it_was_asked_for(name: str, delay: float) -> None:
    """It tells nothing of the seconds that it took: those count only once they were seen."""
    state = STATES[name]
    asked = recorded(state, STATES["ok"]).until - delay
    found = replace(RecordedWorld(), runner=Runner(errors=lambda _: 0.3 if state.bad else 0.0))
    recording = found.recording(0, asked)
    done = advance(begin(START), recording, AT, replace(HELD, required=10_000))
    assert done.checkpoint.verified_seconds <= asked - START
    if state.bad:
        assert done.decision is Decision.ROLLBACK
    else:
        assert done.decision is Decision.CONTINUE


def test_a_state_in_between_neither_clears_a_breach_nor_adds_to_it() -> None:
    """One breach, then NaN, then ok: never two in a row, so never back."""
    bad = (START + 60, START + 75)
    runner = Runner(errors=lambda at: 0.3 if bad[0] <= at < bad[1] else 0.0)
    found = RecordedWorld(runner).recording(0, AT)

    def doubtful(one: Series) -> list[Series]:
        points = tuple((t, math.nan if bad[1] < t < AT - 60 else v) for t, v in one.points)
        return [Series(one.labels, points)]

    held = replace(HELD, required=10_000)
    ended = advance(begin(START), changed(found, OUTCOMES, doubtful), AT, held)
    assert ended.decision is Decision.CONTINUE
