"""The verdict matrix: what each state of the samples means, alone and beside a second guardrail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.operator.recordings import LIMITS, RecordedWorld, Runner, changed, with_value
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.guardrails import CustomGuardrail, Guardrails
from tradepulse_operator.guard.evidence import HEARTBEAT, LATENCY, OUTCOMES
from tradepulse_operator.guard.limits import Limits, limits
from tradepulse_operator.guard.results import Verdict
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.guard.verdict import judge, missing

OK, BREACH, GAP, UNKNOWN = VerdictKind.OK, VerdictKind.BREACH, VerdictKind.GAP, VerdictKind.UNKNOWN
AT, START = 600.0, 300.0
CUSTOM = replace(LIMITS, custom=(CustomGuardrail(name="drawdown", query="x", max=10, min=-5),))


def recorded(world: RecordedWorld | None = None) -> Recording:
    return (world or RecordedWorld()).recording(0, AT)


def verdict(recording: Recording, rules: Limits = LIMITS, at: float = AT) -> Verdict:
    return judge(recording, at, rules, start=START)


def emptied(metric: str) -> Callable[[Recording], Recording]:
    return lambda found: changed(found, metric, lambda _: [])


def valued(metric: str, value: float) -> Callable[[Recording], Recording]:
    return lambda found: changed(found, metric, lambda s: [with_value(s, AT - 30, value)])


def doubled(metric: str) -> Callable[[Recording], Recording]:
    def twice(series: Series) -> list[Series]:
        return [series, Series({**series.labels, "instance": "other"}, series.points)]

    return lambda found: changed(found, metric, twice)


def stale(metric: str) -> Callable[[Recording], Recording]:
    def old(series: Series) -> list[Series]:
        return [Series(series.labels, tuple(p for p in series.points if p[0] < AT - 40))]

    return lambda found: changed(found, metric, old)


def outage(found: Recording) -> Recording:
    return Recording(found.since, found.until, outage="503")


def timeout(found: Recording) -> Recording:
    return Recording(found.since, found.until, outage="no answer in 10 s")


def same(found: Recording) -> Recording:
    return found


GOOD, BROKEN = Runner(), Runner(errors=lambda _: 0.1)
RESTARTED = RecordedWorld(GOOD, down=((AT - 200, AT - 40),))
DOWN = RecordedWorld(GOOD, down=((AT - 45, AT + 1),))
RESET = RecordedWorld(Runner(restarts=(AT - 40,)))

#: name → (world, what happens to the samples, verdict, reason)
CASES: dict[str, tuple[RecordedWorld, Callable[[Recording], Recording], VerdictKind, str]] = {
    "ok": (RecordedWorld(GOOD), same, OK, "WithinLimits"),
    "breach": (RecordedWorld(BROKEN), same, BREACH, "ErrorRateAboveLimit"),
    "slow": (RecordedWorld(Runner(slow=lambda _: 0.2)), same, BREACH, "LatencyAboveLimit"),
    "no outcomes": (RecordedWorld(GOOD), emptied(OUTCOMES), UNKNOWN, "MissingSeries"),
    "no buckets": (RecordedWorld(GOOD), emptied(LATENCY), UNKNOWN, "MissingSeries"),
    "no heartbeat": (RecordedWorld(GOOD), emptied(HEARTBEAT), GAP, "RunnerSilent"),
    "no requests": (RecordedWorld(Runner(rate=0)), same, UNKNOWN, "InsufficientRequests"),
    "NaN": (RecordedWorld(GOOD), valued(OUTCOMES, math.nan), UNKNOWN, "NotANumber"),
    "NaN heartbeat": (RecordedWorld(GOOD), valued(HEARTBEAT, math.nan), UNKNOWN, "NotANumber"),
    "+Inf": (RecordedWorld(GOOD), valued(LATENCY, math.inf), UNKNOWN, "Infinite"),
    "-Inf": (RecordedWorld(GOOD), valued(OUTCOMES, -math.inf), UNKNOWN, "Infinite"),
    "negative": (RecordedWorld(GOOD), valued(OUTCOMES, -3), UNKNOWN, "NegativeCounter"),
    "two series": (RecordedWorld(GOOD), doubled(OUTCOMES), UNKNOWN, "TwoSeries"),
    "two heartbeats": (RecordedWorld(GOOD), doubled(HEARTBEAT), UNKNOWN, "TwoSeries"),
    "5xx": (RecordedWorld(GOOD), outage, UNKNOWN, "PrometheusDown"),
    "timeout": (RecordedWorld(GOOD), timeout, UNKNOWN, "PrometheusDown"),
    "stale outcomes": (RecordedWorld(GOOD), stale(OUTCOMES), UNKNOWN, "StaleSeries"),
    "stale heartbeat": (RecordedWorld(GOOD), stale(HEARTBEAT), GAP, "RunnerSilent"),
    "frozen": (RecordedWorld(Runner(frozen=((AT - 50, AT + 1),))), same, GAP, "LoopFrozen"),
    "Prometheus restarted": (RESTARTED, same, OK, "WithinLimits"),
    "Prometheus down": (DOWN, same, UNKNOWN, "PrometheusDown"),
    "counter reset": (RESET, same, OK, "WithinLimits"),
}


@pytest.mark.parametrize(("world", "change", "kind", "reason"), CASES.values(), ids=CASES)
def test_one_guardrail(
    world: RecordedWorld, change: Callable[[Recording], Recording], kind: VerdictKind, reason: str
) -> None:
    found = verdict(change(recorded(world)))
    assert (found.kind, found.decisive.reason) == (kind, reason)


def custom(value: float | None) -> dict[str, tuple[Series, ...]]:
    return {} if value is None else {"drawdown": (Series({}, ((AT - 5, value),)),)}


SECOND = {
    "second ok": (3.0, OK),
    "second above": (11.0, BREACH),
    "second below": (-6.0, BREACH),
    "second empty": (None, UNKNOWN),
    "second NaN": (math.nan, UNKNOWN),
    "second Inf": (math.inf, UNKNOWN),
}


@pytest.mark.parametrize(("value", "second"), SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_two_guardrails(
    case: tuple[RecordedWorld, Callable[[Recording], Recording], VerdictKind, str],
    value: float | None,
    second: VerdictKind,
) -> None:
    """A rollback needs a breach or a gap, a pass needs both ok, and an outage knows nothing."""
    world, change, first, reason = case
    recording = change(replace(recorded(world), custom=custom(value)))
    found = verdict(recording, CUSTOM)
    if reason == "PrometheusDown":
        expected = UNKNOWN
    else:
        expected = next(k for k in (GAP, BREACH, UNKNOWN, OK) if k in (first, second))
    assert found.kind is expected


def test_the_custom_query_must_yield_one_fresh_series() -> None:
    good = Series({}, ((AT - 5, 1.0),))
    for series, reason in (
        ((good, good), "TwoSeries"),
        ((Series({}, ((AT - 40, 1.0),)),), "NoData"),
        ((), "NoData"),
    ):
        found = verdict(replace(recorded(), custom={"drawdown": series}), CUSTOM)
        assert (found.kind, found.decisive.reason) == (UNKNOWN, reason)
        assert found.decisive.guardrail == "drawdown"


def test_of_an_old_and_a_new_custom_series_the_new_one_counts() -> None:
    old, new = Series({"a": "1"}, ((AT - 100, 99.0),)), Series({}, ((AT - 5, 1.0),))
    assert verdict(replace(recorded(), custom={"drawdown": (old, new)}), CUSTOM).kind is OK


def test_a_value_on_the_limit_is_ok() -> None:
    assert verdict(recorded(RecordedWorld(Runner(errors=lambda _: 0.02)))).kind is OK
    assert verdict(recorded(RecordedWorld(Runner(errors=lambda _: 0.0201)))).kind is BREACH


def test_p95_beyond_the_last_bucket_is_a_breach_only_when_the_limit_is_below_it() -> None:
    last = RecordedWorld(Runner(slow=lambda _: 0.2))
    moved = changed(
        recorded(last),
        LATENCY,
        lambda s: [] if s.labels["le"] in ("1.0", "5.0") else [s],
    )
    assert verdict(moved).decisive.reason == "LatencyAboveLimit"
    assert verdict(moved, replace(LIMITS, p95=2.0)).decisive.reason == "BucketsTooCoarse"
    assert verdict(moved, replace(LIMITS, p95=2.0)).kind is UNKNOWN


@pytest.mark.parametrize("le", ["+Inf", "0.5"])
def test_malformed_buckets_are_unknown(le: str) -> None:
    def broken(series: Series) -> list[Series]:
        if series.labels["le"] != le:
            return [series]
        return [] if le == "+Inf" else [Series({**series.labels, "le": "wide"}, series.points)]

    assert verdict(changed(recorded(), LATENCY, broken)).decisive.reason == "MalformedBuckets"


def test_a_young_window_is_judged_on_what_there_is() -> None:
    broken = recorded(RecordedWorld(Runner(born=START - 5, errors=lambda _: 0.5)))
    assert verdict(broken, at=START + 10).decisive.reason == "InsufficientRequests"
    assert verdict(broken, at=START + 30).kind is BREACH


def test_what_came_before_the_watch_is_not_judged() -> None:
    healed = RecordedWorld(Runner(errors=lambda at: 0.5 if at < START - 20 else 0.0))
    assert verdict(recorded(healed), at=START + 40).kind is OK


def test_before_the_first_scrape_absence_is_a_gap_only_after_metric_gap() -> None:
    recording = recorded(RecordedWorld(Runner(silent=((START - 60, AT),))))
    assert verdict(recording, at=START + 20).decisive.reason == "AwaitingFirstSample"
    assert verdict(recording, at=START + 30).kind is UNKNOWN
    assert verdict(recording, at=START + 40).kind is GAP


def test_a_sample_of_before_the_watch_does_not_vouch_for_the_release() -> None:
    """After a rollback the series of the pod of before may still be fresh."""
    recording = recorded(RecordedWorld(Runner(silent=((START, START + 25),))))
    assert verdict(recording, at=START + 10).decisive.reason == "AwaitingFirstSample"


@pytest.mark.parametrize("long", [5, 10, 15, 20, 30, 40, 60, 300])
@pytest.mark.parametrize("offset", [0, 3, 7, 12])
def test_an_outage_of_prometheus_is_never_a_gap(long: float, offset: float) -> None:
    """…whatever its length and phase, and at every second of it and after it."""
    world = RecordedWorld(GOOD, down=((400, 400 + long),), offset=offset)
    recording = world.recording(0, 800)
    for at in range(380, 800):
        found = verdict(recording, at=at)
        assert found.kind in (OK, UNKNOWN), (at, found.decisive)


@pytest.mark.parametrize("offset", [0, 3, 7, 12])
def test_a_silent_runner_is_a_gap_within_two_scrapes_and_a_second(offset: float) -> None:
    world = RecordedWorld(Runner(silent=((400, 900),)), offset=offset)
    recording = world.recording(0, 800)
    last = max(t for s in recording.runner for t, _ in s.points)
    for at in range(380, 800):
        expected = GAP if at - last > 31 + 5 else OK
        if not 31 < at - last <= 31 + 5:
            assert verdict(recording, at=at).kind is expected, at


def test_a_sparse_control_series_is_not_blind_for_ever() -> None:
    world = RecordedWorld(Runner(silent=((400, 900),)))
    recording = world.recording(0, 800)
    sparse = replace(
        recording,
        control=(Series({}, tuple((t, 1.0) for t in range(2, 800, 25))),),
    )
    last = max(t for s in recording.runner for t, _ in s.points)
    assert verdict(sparse, at=last + 60).decisive.reason == "PrometheusDown"
    assert verdict(sparse, at=last + 3 * 31 + 26).kind is GAP


def test_without_a_control_series_nothing_is_known() -> None:
    assert verdict(replace(recorded(), control=())).decisive.reason == "PrometheusDown"


def test_a_gap_that_opened_and_closed_between_two_instants_is_seen_once() -> None:
    rules = replace(LIMITS, interval=120, window=120)
    recording = RecordedWorld(Runner(silent=((430, 490),))).recording(0, 800)
    assert [verdict(recording, rules, at=at).kind for at in (420, 540, 660)] == [OK, GAP, OK]


def test_missing_names_what_is_not_fresh() -> None:
    assert missing(recorded(), AT, LIMITS) == ""
    assert OUTCOMES in missing(emptied(OUTCOMES)(recorded()), AT, LIMITS)
    assert "down: 503" in missing(outage(recorded()), AT, LIMITS)
    assert "scraped nothing" in missing(recorded(DOWN), AT, LIMITS)


def test_limits_of_a_spec() -> None:
    found = limits(Guardrails(), "15s", required=300)
    assert (found.metric_gap, found.window, found.p95, found.settle) == (31, 60, 0.5, 1)
    own = Guardrails.model_validate({"metricGap": "7s", "interval": "2s"})
    assert limits(own, "2s").metric_gap == 7
    assert limits(own, "2s").settle == pytest.approx(0.2)
