"""The running release's own window: what it allows, and what it can't tell."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner, changed, with_value
from tradepulse_operator.guard.bake import Decision, advance, begin
from tradepulse_operator.guard.baseline import (
    Measured,
    lower,
    measure,
    own_limits,
    tightened,
    upper,
)
from tradepulse_operator.guard.evidence import LATENCY, OUTCOMES
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.guard.tally import beyond_chance

AT, WINDOW = 1000.0, 600.0
BOUND = 1e-9


def seen(runner: Runner) -> Recording:
    return RecordedWorld(runner).recording(0, AT)


def test_a_window_is_counted() -> None:
    found = measure(seen(Runner(errors=lambda _: 0.01, slow=lambda _: 0.06)), AT, WINDOW, LIMITS)
    assert found.requests == pytest.approx(2 * WINDOW, rel=0.03)
    assert found.failed == pytest.approx(0.01 * found.requests, rel=0.03)
    assert found.timed == pytest.approx(found.requests)
    assert found.p95 == pytest.approx(0.58, rel=0.05)
    assert found.error_upper is not None
    assert 0.01 < found.error_upper < 0.025
    assert found.p95_upper is not None
    assert found.p95_upper > (found.p95 or 1)


def test_only_the_window_counts() -> None:
    before = AT - WINDOW
    worse = Runner(errors=lambda at: 1.0 if at < before - 20 else 0.0)
    assert measure(seen(worse), AT, WINDOW, LIMITS).failed == 0


def test_few_requests_allow_no_limit() -> None:
    found = measure(seen(Runner(rate=0.02)), AT, WINDOW, LIMITS)
    assert found.requests < LIMITS.min_requests
    assert (found.error_upper, found.p95, found.p95_upper) == (None, None, None)
    assert own_limits(found, 0.01, 0.5) == (None, None)


@pytest.mark.parametrize("metric", [OUTCOMES, LATENCY])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_doubtful_samples_allow_no_limit(metric: str, value: float) -> None:
    odd = changed(seen(Runner()), metric, lambda one: [with_value(one, AT - 30, value)])
    assert own_limits(measure(odd, AT, WINDOW, LIMITS), 0.01, 0.5) == (None, None)


def test_two_series_at_once_allow_no_limit() -> None:
    def twice(one: Series) -> list[Series]:
        return [one, Series({**one.labels, "instance": "other"}, one.points)]

    doubled = changed(seen(Runner()), OUTCOMES, twice)
    assert own_limits(measure(doubled, AT, WINDOW, LIMITS), 0.01, 0.5) == (None, None)


def test_a_percentile_beyond_the_last_bucket_allows_no_limit() -> None:
    def unbounded(one: Series) -> list[Series]:
        return [one] if one.labels["le"] in ("0.05", "+Inf") else []

    def slow(one: Series) -> list[Series]:
        return [replace(one, points=tuple((t, 0.0) for t, _ in one.points))]

    found = changed(seen(Runner()), LATENCY, unbounded)
    found = changed(found, LATENCY, lambda one: [one] if one.labels["le"] == "+Inf" else slow(one))
    measured = measure(found, AT, WINDOW, LIMITS)
    assert (measured.p95, measured.p95_upper) == (None, None)
    assert measured.error_upper is not None


def test_buckets_that_are_no_histogram_leave_the_errors() -> None:
    broken = changed(seen(Runner()), LATENCY, lambda one: [])
    measured = measure(broken, AT, WINDOW, LIMITS)
    assert measured.p95 is None
    assert measured.error_upper is not None


def test_no_answer_is_no_measurement() -> None:
    found = measure(Recording(0, AT, outage="503"), AT, WINDOW, LIMITS)
    assert found == Measured()


def test_limits_only_get_tighter() -> None:
    assert tightened(LIMITS, None, None) == LIMITS
    assert tightened(LIMITS, 0.5, 9.0) == LIMITS
    tight = tightened(LIMITS, 0.01, 0.2)
    assert (tight.error_rate, tight.p95) == (0.01, 0.2)
    assert replace(tight, error_rate=LIMITS.error_rate, p95=LIMITS.p95) == LIMITS


def test_what_was_not_asked_for_limits_nothing() -> None:
    found = measure(seen(Runner()), AT, WINDOW, LIMITS)
    assert own_limits(found, None, None) == (None, None)
    errors, p95 = own_limits(found, 0.01, None)
    assert p95 is None
    assert errors == pytest.approx((found.error_upper or 0) + 0.01)


def test_a_share_of_errors_stays_a_share() -> None:
    assert own_limits(Measured(error_upper=0.9, requests=30), 0.5, None) == (1.0, None)


@given(st.integers(0, 400), st.integers(1, 400))
def test_upper_is_the_least_that_chance_allows(bad: int, total: int) -> None:
    """The release may be that bad without having shown it, and not a bit worse."""
    bad = min(bad, total)
    found = upper(bad, total)
    assert bad / total <= found <= 1
    if bad < total:
        # As seen from the measured release: one just above `found` would hardly show so few.
        assert not beyond_chance(bad, total, found)
        assert total * _divergence(bad / total, min(1 - BOUND, found + 1e-6)) >= math.log(20) - 1e-3


@given(st.integers(1, 10_000))
def test_lower_is_the_least_share_that_shows_as_more(total: int) -> None:
    found = lower(0.05, total)
    assert 0 <= found < 0.05
    if found:
        assert total * _divergence(found, 0.05) == pytest.approx(math.log(20), rel=1e-3)
    else:
        assert 0.95**total > 1 / 20


def _divergence(share: float, limit: float) -> float:
    rest = (1 - share) * math.log((1 - share) / (1 - limit)) if share < 1 else 0.0
    return rest + (share * math.log(share / limit) if share else 0.0)


GOOD = Runner(rate=8.0, errors=lambda _: 0.002, slow=lambda _: 0.01)


@pytest.mark.parametrize(
    ("target", "decision", "guardrail"),
    [
        (GOOD, Decision.PROMOTE, ""),
        (replace(GOOD, errors=lambda _: 0.018), Decision.ROLLBACK, "errorRate"),
        (replace(GOOD, slow=lambda _: 0.048), Decision.PROMOTE, ""),
    ],
)
def test_a_release_is_held_to_what_the_one_before_it_kept(
    target: Runner, decision: Decision, guardrail: str
) -> None:
    """Below every absolute limit, and yet worse than what runs."""
    measured = measure(seen(GOOD), AT, WINDOW, LIMITS)
    held = tightened(LIMITS, *own_limits(measured, 0.002, 0.5))
    alone = advance(begin(0.0), seen(target), AT, LIMITS)
    assert alone.decision is Decision.PROMOTE
    found = advance(begin(0.0), seen(target), AT, held)
    assert found.decision is decision
    if found.verdict and guardrail:
        assert found.verdict.decisive.guardrail == guardrail
