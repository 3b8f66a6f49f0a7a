"""AutoRollbackGuard by itself: windows, limits, cooldown, silences."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tradepulse_runner.guard.auto_rollback import AutoRollbackGuard, Summary
from tradepulse_runner.guard.slo import LATENCY_BUCKETS, SLOTS, Kind, Reason, SLOConfig, Window, p95


class Told:
    """What a callback was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Summary]] = []

    def __call__(self, reason: str, summary: Summary) -> None:
        self.calls.append((reason, summary))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.calls]


def guard(**config: Any) -> tuple[AutoRollbackGuard, Told]:
    told = Told()
    return AutoRollbackGuard(SLOConfig(**config), rollback_callback=told, clock=lambda: 0.0), told


# -- triggers --------------------------------------------------------------------------------


def test_the_defaults_are_those_that_were_promised() -> None:
    found = SLOConfig()
    assert (found.error_rate_threshold, found.latency_threshold_ms) == (0.02, 500)
    assert (found.evaluation_period, found.min_requests, found.cooldown) == (300, 50, 300)


def test_the_outcome_that_breaks_a_level_triggers_and_says_what_was_seen() -> None:
    made, told = guard()
    for number in range(49):
        assert not made.record_outcome(40, number != 0, timestamp=number)
    assert not made.record_outcome(40, True, timestamp=49), "1 of 50 is the limit itself"
    assert made.record_outcome(40, False, timestamp=50)
    [(reason, summary)] = told.calls
    assert reason == summary["reason"] == "error_rate"
    assert summary["error_rate"] == 2 / 51
    assert summary["total_requests"] == 51
    assert summary["window_seconds"] == 300
    assert made.last_triggered_at == 50


def test_slow_answers_trigger_with_the_p95_in_milliseconds() -> None:
    made, told = guard()
    for number in range(50):
        made.record_outcome(700, True, timestamp=number)
    assert told.reasons == ["latency"]
    assert told.calls[0][1]["latency_p95_ms"] == pytest.approx(975)


def test_failures_speak_before_slowness_and_silence_before_both() -> None:
    made, told = guard(cooldown=0.5)
    made.expect("heartbeat", timestamp=0)
    for number in range(50):
        made.record_outcome(700, False, timestamp=number)
    assert told.reasons[0] == "error_rate"
    assert made.evaluate(timestamp=60)
    assert told.calls[-1][0] == "gap"
    assert told.calls[-1][1]["silent"] == "heartbeat"
    assert told.calls[-1][1]["silence_seconds"] == 60


def test_nothing_triggers_again_before_the_cooldown_is_over() -> None:
    made, told = guard(cooldown=100)
    for number in range(200):
        made.record_outcome(1, False, timestamp=number)
    assert made.findings[Reason.ERROR_RATE].kind is Kind.BREACH
    assert len(told.calls) == 2, "at the 50th and 100 s later"


def test_a_receiver_gets_a_copy() -> None:
    made, told = guard(min_requests=1)
    made.record_outcome(1, False, timestamp=1)
    told.calls[0][1]["error_rate"] = 0.0
    assert made.last_summary is not None
    assert made.last_summary["error_rate"] == 1.0


@pytest.mark.parametrize("latency", [-1, math.nan, -math.inf])
def test_a_latency_that_is_none_is_refused(latency: float) -> None:
    made, _ = guard()
    with pytest.raises(ValueError, match="latency_ms"):
        made.record_outcome(latency, True)
    with pytest.raises(ValueError, match="latency_p95_ms"):
        made.evaluate_snapshot(error_rate=0, latency_p95_ms=latency)


@pytest.mark.parametrize(
    ("rate", "latency", "total", "reasons"),
    [
        (0.02, 500, None, []),
        (0.0201, 500, None, ["error_rate"]),
        (0.02, 500.1, None, ["latency"]),
        (1, math.inf, None, ["error_rate"]),
        (0, math.inf, None, ["latency"]),
        (1, 9000, 49, []),
        (1, 9000, 50, ["error_rate"]),
        (1, 9000, 0, []),
    ],
)
def test_numbers_that_others_aggregated(
    rate: float, latency: float, total: int | None, reasons: list[str]
) -> None:
    made, told = guard()
    triggered = made.evaluate_snapshot(
        error_rate=rate, latency_p95_ms=latency, total_requests=total, timestamp=1
    )
    assert (told.reasons, triggered) == (reasons, bool(reasons))


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="error_rate"):
        guard()[0].evaluate_snapshot(error_rate=rate, latency_p95_ms=1)


# -- the window ------------------------------------------------------------------------------

outcomes = some.lists(
    some.tuples(
        some.floats(0, 20), some.sampled_from([*LATENCY_BUCKETS, 0.0, 99.0]), some.booleans()
    ),
    max_size=200,
)


@settings(max_examples=200, deadline=None)
@given(outcomes=outcomes, period=some.sampled_from([1.0, 60.0, 300.0]))
def test_a_window_forgets_nothing_young_and_keeps_nothing_old(
    outcomes: list[tuple[float, float, bool]], period: float
) -> None:
    made, now, all_of_them = Window(period), 0.0, []
    for gap, seconds, success in outcomes:
        now += gap
        made.add(now, seconds, success=success)
        all_of_them.append((now, success))
        made.expire(now)
        young = [s for t, s in all_of_them if t > now - period * (1 - 1 / SLOTS) + 1e-6]
        not_old = [s for t, s in all_of_them if t > now - period - 1e-6]
        assert len(young) <= made.total <= len(not_old)
        assert young.count(False) <= made.failed <= not_old.count(False)


def test_memory_does_not_grow_with_the_number_of_outcomes() -> None:
    made, _ = guard(evaluation_period=60.0)
    chance, sizes = random.Random(1), []
    for number in range(20_000):
        made.record_outcome(chance.uniform(0, 800), True, timestamp=number / 50)
        if number % 4000 == 3999:
            sizes.append(_size(made._window))
    assert max(sizes) == sizes[-1] == sizes[0]


def _size(window: Window) -> int:
    slots = window._slots
    return sys.getsizeof(slots) + sum(sys.getsizeof(slot.buckets) for slot in slots)


def test_a_clock_that_falls_loses_nothing() -> None:
    made = Window(60.0)
    for at in (100.0, 40.0, 99.0):
        made.add(at, 0.01, success=True)
    made.expire(100.0)
    assert made.total == 3


def test_a_p95_of_nothing_is_none_and_above_all_bounds_is_infinite() -> None:
    assert p95([0] * 12) is None
    assert p95([0] * 11 + [1]) == math.inf
    assert p95([20] + [0] * 11) == pytest.approx(0.95 * LATENCY_BUCKETS[0])


# -- silence ---------------------------------------------------------------------------------


def silent(act: Callable[[AutoRollbackGuard], object]) -> list[str]:
    made, told = guard(cooldown=0)
    made.expect("heartbeat", timestamp=0)
    made.expect("market_data paper", timestamp=0)
    act(made)
    return [str(summary["silent"]) for _, summary in told.calls]


def test_the_subject_that_is_silent_for_longest_is_named() -> None:
    def act(made: AutoRollbackGuard) -> None:
        made.note("heartbeat", timestamp=20)
        made.evaluate(timestamp=30)
        made.evaluate(timestamp=31)
        made.evaluate(timestamp=52)

    assert silent(act) == ["market_data paper", "market_data paper"]


def test_a_silence_that_ended_unseen_is_reported_once() -> None:
    """Nothing judges while the event loop stands still: it is noticed afterwards."""

    def act(made: AutoRollbackGuard) -> None:
        for subject in ("market_data paper", "heartbeat"):
            made.note(subject, timestamp=40)
        made.evaluate(timestamp=40)
        made.evaluate(timestamp=41)

    assert silent(act) == ["market_data paper"]


def test_without_anything_to_hear_nothing_is_known() -> None:
    made, _ = guard()
    made.evaluate(timestamp=1)
    assert made.findings[Reason.GAP].kind is Kind.UNKNOWN
