"""Samples and limits → verdict, for one instant.

ok, breach, gap and unknown are four things. A runner that is silent while Prometheus scrapes others
is a gap; a Prometheus that doesn't answer or doesn't scrape is unknown, as is every sample that
can't be relied on: nothing is rolled back and nothing is promoted on an unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.guardrails import CustomGuardrail
from tradepulse_operator.api.reasons import GuardReason

from .evidence import LATENCY, REQUIRED, Counter, Evidence, evidence
from .limits import Limits
from .quantile import MalformedBuckets, Quantile, quantile
from .results import ERROR_RATE, METRIC_GAP, P95_LATENCY, GuardrailResult, Verdict, unknown, verdict
from .samples import Recording
from .silence import scraping, silence
from .tally import SLOWER, Tally, beyond_chance, slower


def judge(
    recording: Recording, at: float, limits: Limits, *, start: float | None = None
) -> Verdict:
    """The verdict on the instant `at` (unix seconds), from samples up to `at`.

    `start`: when watching began, the recording's own beginning when left out; what came before it
    isn't judged.
    """
    return judge_evidence(evidence(recording, limits, start), at, limits)


def judge_evidence(seen: Evidence, at: float, limits: Limits) -> Verdict:
    """As `judge`, of a recording that was prepared once for many instants."""
    if seen.outage:
        return verdict(
            at, [unknown(METRIC_GAP, GuardReason.PROMETHEUS_DOWN, f"no answer: {seen.outage}")]
        )
    if not scraping(seen, at, limits):
        return verdict(
            at,
            [
                unknown(
                    METRIC_GAP, GuardReason.PROMETHEUS_DOWN, "Prometheus scraped nothing of late"
                )
            ],
        )
    alive = silence(seen, at, limits)
    if alive.reason is GuardReason.PROMETHEUS_DOWN:
        return verdict(at, [alive])
    after = max(seen.start, at - limits.window)
    return verdict(
        at,
        [
            alive,
            _error_rate(seen.outcomes, after, at, limits),
            _latency(seen.latency, after, at, limits),
            *(_custom(rule, seen, at, limits) for rule in limits.custom),
        ],
    )


def missing(recording: Recording, at: float, limits: Limits) -> str:
    """What a judgement at `at` would lack: a message, or "" when every series is fresh."""
    seen = evidence(recording, limits)
    if seen.outage:
        return f"Prometheus is down: {seen.outage}"
    if not scraping(seen, at, limits):
        return "Prometheus scraped nothing of late"
    newest = (seen.heartbeat.last(at), seen.outcomes.last(at), seen.latency.last(at))
    stale = [
        name
        for name, last in zip(REQUIRED, newest, strict=True)
        if last is None or at - last > limits.metric_gap
    ]
    return f"Prometheus has no fresh samples of {', '.join(stale)}" if stale else ""


def _error_rate(counter: Counter, after: float, at: float, limits: Limits) -> GuardrailResult:
    useless = _useless(counter, ERROR_RATE, after, at, limits)
    if useless:
        return useless
    total, failed = _outcomes(counter, after, at)
    if total < limits.min_requests:
        return _too_few(ERROR_RATE, total, limits)
    share = failed / total
    finding = _compared(
        ERROR_RATE, GuardReason.ERROR_RATE_ABOVE_LIMIT, share, limits.error_rate, "of requests"
    )
    return replace(finding, sure=beyond_chance(failed, total, limits.error_rate))


def _outcomes(counter: Counter, after: float, at: float) -> tuple[float, float]:
    """(requests, failed ones) of `after` < t <= `at`."""
    total = failed = 0.0
    for (_, outcome), increases in counter.increases.items():
        rise = increases.between(after, at)
        total += rise
        failed += rise if outcome == "error" else 0.0
    return total, failed


def tally(seen: Evidence, after: float, at: float, limits: Limits) -> Tally:
    """The requests of `after` < t <= `at`, whatever may be doubtful about them."""
    requests, failed = _outcomes(seen.outcomes, after, at)
    try:
        buckets = latency_buckets(seen.latency, after, at)
    except ValueError:
        buckets = {}
    timed = max(buckets.values(), default=0.0)
    return Tally(requests, failed, timed, slower(limits.p95, buckets))


def _latency(counter: Counter, after: float, at: float, limits: Limits) -> GuardrailResult:
    useless = _useless(counter, P95_LATENCY, after, at, limits)
    if useless:
        return useless
    try:
        buckets = latency_buckets(counter, after, at)
        p95 = quantile(0.95, buckets)
    except ValueError as error:
        return unknown(P95_LATENCY, GuardReason.MALFORMED_BUCKETS, f"{LATENCY}: {error}")
    total = max(buckets.values())
    if p95 is None or total < limits.min_requests:
        return _too_few(P95_LATENCY, total, limits)
    slow = slower(limits.p95, buckets)
    return replace(_quantile(p95, limits), sure=beyond_chance(slow, total, SLOWER))


def _quantile(p95: Quantile, limits: Limits) -> GuardrailResult:
    if not p95.open:
        return _compared(P95_LATENCY, GuardReason.LATENCY_ABOVE_LIMIT, p95.value, limits.p95, "s")
    message = f"p95 is above the last bucket, {p95.value:g} s; allowed are {limits.p95:g} s"
    if p95.value < limits.p95:
        return unknown(P95_LATENCY, GuardReason.BUCKETS_TOO_COARSE, message)
    return GuardrailResult(
        VerdictKind.BREACH,
        P95_LATENCY,
        GuardReason.LATENCY_ABOVE_LIMIT,
        message,
        p95.value,
        limits.p95,
    )


def latency_buckets(counter: Counter, after: float, at: float) -> Mapping[float, float]:
    """{upper bound: increase}, summed over venues. Raises MalformedBuckets, ValueError."""
    buckets: defaultdict[float, float] = defaultdict(float)
    bounds: defaultdict[str, set[str]] = defaultdict(set)
    for (venue, le), rise in counter.increases.items():
        buckets[float(le)] += rise.between(after, at)
        bounds[venue].add(le)
    if len({frozenset(les) for les in bounds.values()}) > 1:
        raise MalformedBuckets("venues have different buckets")
    return buckets


def _custom(rule: CustomGuardrail, seen: Evidence, at: float, limits: Limits) -> GuardrailResult:
    after = max(seen.start, at - max(limits.interval, limits.metric_gap))
    tracks = [
        track
        for track in seen.custom.get(rule.name, ())
        if (last := track.last(at)) is not None and last > after
    ]
    if not tracks:
        return unknown(rule.name, GuardReason.NO_DATA, "the query yields nothing fresh")
    if len(tracks) > 1:
        return unknown(
            rule.name, GuardReason.TWO_SERIES, f"the query yields {len(tracks)} series, not one"
        )
    doubt = tracks[0].doubt(after, at)
    if doubt:
        return unknown(rule.name, doubt.reason, doubt.message)
    value = [v for t, v in tracks[0].points if t <= at][-1]
    if rule.max is not None and value > rule.max:
        return _compared(rule.name, GuardReason.ABOVE_MAX, value, rule.max, "")
    if rule.min is not None and value < rule.min:
        return GuardrailResult(
            VerdictKind.BREACH,
            rule.name,
            GuardReason.BELOW_MIN,
            f"{value:g}, allowed are at least {rule.min:g}",
            value,
            rule.min,
        )
    limit = rule.max if rule.max is not None else rule.min
    return GuardrailResult(
        VerdictKind.OK, rule.name, GuardReason.WITHIN_LIMITS, f"{value:g}", value, limit
    )


def _useless(
    counter: Counter, guardrail: str, after: float, at: float, limits: Limits
) -> GuardrailResult | None:
    """Why `counter` can't be judged; None when it can."""
    last = counter.last(at)
    if last is None:
        return unknown(guardrail, GuardReason.MISSING_SERIES, f"there is no {counter.metric}")
    if at - last > limits.metric_gap:
        return unknown(guardrail, GuardReason.STALE_SERIES, f"{counter.metric} has no fresh sample")
    doubts = (track.doubt(after, at) for track in counter.tracks.values())
    doubt = next((d for d in doubts if d), None)
    return unknown(guardrail, doubt.reason, f"{counter.metric}: {doubt.message}") if doubt else None


def _too_few(guardrail: str, total: float, limits: Limits) -> GuardrailResult:
    message = f"{total:g} requests in the window, {limits.min_requests} are needed"
    if limits.quiet:
        return GuardrailResult(VerdictKind.OK, guardrail, GuardReason.QUIET, message)
    return unknown(guardrail, GuardReason.INSUFFICIENT_REQUESTS, message)


def _compared(
    guardrail: str, reason: GuardReason, value: float, limit: float, unit: str
) -> GuardrailResult:
    if value > limit:
        message = f"{value:.4g} {unit}".rstrip() + f", allowed are at most {limit:g}"
        return GuardrailResult(VerdictKind.BREACH, guardrail, reason, message, value, limit)
    return GuardrailResult(
        VerdictKind.OK,
        guardrail,
        GuardReason.WITHIN_LIMITS,
        f"{value:.4g} {unit}".rstrip(),
        value,
        limit,
    )
