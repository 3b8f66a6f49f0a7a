"""Distinguishes a silent runner from a Prometheus that doesn't scrape.

Both show as missing samples. The control series distinguishes them, the successful scrapes of
anything at all: only time in which Prometheus is known to have scraped counts against the runner.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.reasons import GuardReason

from .evidence import Evidence
from .limits import Limits
from .results import METRIC_GAP, GuardrailResult, unknown

#: Without proof that Prometheus scraped all the time, a silence must be this much longer.
_WEAK = 3


def scraping(seen: Evidence, at: float, limits: Limits) -> bool:
    """Whether anything was scraped within a metricGap before `at`."""
    newest = bisect_right(seen.control, at)
    return newest > 0 and at - seen.control[newest - 1] <= limits.metric_gap


def silence(seen: Evidence, at: float, limits: Limits) -> GuardrailResult:
    """ok, gap or unknown for the interval that ends at `at`."""
    before = max(seen.start, at - limits.interval)
    doubt = seen.heartbeat.doubt(min(before, at - limits.metric_gap), at)
    if doubt:
        return unknown(METRIC_GAP, doubt.reason, f"heartbeat: {doubt.message}")
    for since, until in _spans(seen, before, at):
        # A silence that was a gap an interval ago has been judged then.
        judged = until < at and _gap(seen, since, before, limits)
        if _gap(seen, since, until, limits) and not judged:
            return _found(seen, since, until, at, limits)
    since = _spans(seen, at, at)[-1][0]
    if at - since > limits.metric_gap:
        return unknown(
            METRIC_GAP,
            GuardReason.PROMETHEUS_DOWN,
            "neither the runner nor enough else was scraped: the silence may be Prometheus' own",
        )
    newest = seen.heartbeat.last(at)
    if newest is None or newest < seen.start:
        return unknown(
            METRIC_GAP, GuardReason.AWAITING_FIRST_SAMPLE, "the runner hasn't been scraped yet"
        )
    return GuardrailResult(
        VerdictKind.OK,
        METRIC_GAP,
        GuardReason.WITHIN_LIMITS,
        "the loop beats",
        at - since,
        limits.metric_gap,
    )


def covered(seen: Evidence, after: float, until: float, limits: Limits) -> float:
    """Seconds of `after` … `until` in which no silence was longer than metricGap."""
    dark = 0.0
    for since, end in _spans(seen, after, until):
        if end - since > limits.metric_gap:
            dark += end - max(since, after)
    return max(0.0, until - after - dark)


def _spans(seen: Evidence, after: float, until: float) -> list[tuple[float, float]]:
    """Spans between signs of life that end in `after` < t <= `until`; the last ends at `until`.

    The start of the watch is a sign of life: the pod was seen ready then.
    """
    first = bisect_right(seen.life, after) - 1
    signs = list(seen.life[max(first, 0) : bisect_right(seen.life, until)])
    if not signs or signs[0] < seen.start or first < 0:
        signs = [seen.start, *(t for t in signs if t > seen.start)]
    spans = [(a, b) for a, b in pairwise(signs) if b > after]
    return [*spans, (signs[-1], until)]


def _gap(seen: Evidence, since: float, until: float, limits: Limits) -> bool:
    """Whether the silence of `since` … `until` is the runner's own and longer than allowed.

    Strict: Prometheus scraped something at least every scrape interval for longer than metricGap.
    An outage that hides in there hides one scrape, which metricGap allows for. Weak: it scraped at
    least every metricGap for three times as long, so that a sparse control series isn't blind.
    """
    if until - since <= limits.metric_gap:
        return False
    scrapes = seen.control[bisect_left(seen.control, since) : bisect_right(seen.control, until)]
    if not scrapes:
        return False
    strict = weak = since
    for earlier, later in pairwise((since, *scrapes)):
        strict = later if later - earlier > limits.scrape + 1 else strict
        weak = later if later - earlier > limits.metric_gap else weak
        if later - strict > limits.metric_gap or later - weak > _WEAK * limits.metric_gap:
            return True
    return False


def _found(
    seen: Evidence, since: float, until: float, at: float, limits: Limits
) -> GuardrailResult:
    newest = seen.heartbeat.last(at)
    frozen = newest is not None and until - newest <= limits.metric_gap and until == at
    reason, what = (
        (GuardReason.LOOP_FROZEN, "the loop's heartbeat stood still")
        if frozen
        else (GuardReason.RUNNER_SILENT, "the runner gave no heartbeat")
    )
    return GuardrailResult(
        VerdictKind.GAP,
        METRIC_GAP,
        reason,
        f"{what} for {until - since:.1f} s, allowed are {limits.metric_gap:g} s",
        round(until - since, 3),
        limits.metric_gap,
    )
