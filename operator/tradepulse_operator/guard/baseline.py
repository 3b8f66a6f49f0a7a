"""The running release's own window as a limit for the new one.

What was measured is uncertain, too: where it shows few failures the release may have been worse
than that by luck. So a limit begins at what the running release could have been without anyone
noticing (95 %), and the new release is weighed against it as against any other limit. Limits only
ever get tighter by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .evidence import Evidence, evidence
from .limits import Limits
from .quantile import quantile
from .samples import Recording
from .tally import BEYOND_CHANCE, SLOWER, divergence
from .verdict import latency_buckets, tally

_STEPS = 60


@dataclass(frozen=True)
class Measured:
    """One window of a release: counts, its 95th percentile and the highest that it may have been
    (seconds). None where too little was seen, or where samples can't be relied on."""

    requests: float = 0.0
    failed: float = 0.0
    timed: float = 0.0
    p95: float | None = None
    p95_upper: float | None = None
    error_upper: float | None = None


def measure(recording: Recording, at: float, window: float, limits: Limits) -> Measured:
    """The window of `window` seconds that ends at `at` (unix seconds)."""
    after = max(recording.since, at - window)
    seen = evidence(recording, limits, after)
    counts = tally(seen, after, at, limits)
    measured = Measured(counts.requests, counts.failed, counts.timed)
    if _doubtful(seen, after, at):
        return measured
    if counts.requests >= limits.min_requests:
        measured = replace(measured, error_upper=upper(counts.failed, counts.requests))
    return _timed(measured, seen, after, at, limits)


def _timed(measured: Measured, seen: Evidence, after: float, at: float, limits: Limits) -> Measured:
    try:
        buckets = latency_buckets(seen.latency, after, at)
        middle = quantile(1 - SLOWER, buckets)
        share = lower(SLOWER, measured.timed)
        high = quantile(1 - share, buckets) if share else None
    except ValueError:
        return measured
    if middle is None or middle.open or measured.timed < limits.min_requests:
        return measured
    most = None if high is None or high.open else high.value
    return replace(measured, p95=middle.value, p95_upper=most)


def _doubtful(seen: Evidence, after: float, at: float) -> bool:
    counters = (seen.outcomes, seen.latency)
    return any(track.doubt(after, at) for one in counters for track in one.tracks.values())


def upper(bad: float, total: float) -> float:
    """The highest share that `bad` of `total` leave possible (95 %, Chernoff); 1 without any."""
    share = bad / total if total else 0.0
    low, high = share, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle < 1 and total * divergence(share, middle) < BEYOND_CHANCE:
            low = middle
        else:
            high = middle
    return high


def lower(share: float, total: float) -> float:
    """The lowest share that may show as `share` of `total` (95 %); 0 when even none may."""
    if total * -math.log(1 - share) < BEYOND_CHANCE:
        return 0.0
    low, high = 0.0, share
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if total * divergence(middle, share) < BEYOND_CHANCE:
            high = middle
        else:
            low = middle
    return high


def own_limits(
    measured: Measured, error_increase: float | None, p95_increase: float | None
) -> tuple[float | None, float | None]:
    """(share of errors, p95 in seconds) that a release may reach that is at most so much worse."""
    errors = p95 = None
    if error_increase is not None and measured.error_upper is not None:
        errors = round(min(1.0, measured.error_upper + error_increase), 9)
    if p95_increase is not None and measured.p95_upper is not None:
        p95 = round(measured.p95_upper * (1 + p95_increase), 9)
    return errors, p95


def tightened(limits: Limits, errors: float | None, p95: float | None) -> Limits:
    """`limits`, where those of the baseline are tighter."""
    return replace(
        limits,
        error_rate=min(limits.error_rate, math.inf if errors is None else errors),
        p95=min(limits.p95, math.inf if p95 is None else p95),
    )
