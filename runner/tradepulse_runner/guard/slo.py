"""Service levels judged from inside the process: outcomes in a rolling window → findings. Pure.

The operator judges the same release from Prometheus' samples. Both must reach the same verdict on
the same counts, so the rules are the same: p95 is linear within a bucket of the same histogram, a
limit may be reached but not exceeded, and what can't be judged is unknown, which is neither good
nor bad. Neither imports the other; ``tests/contract/vectors/slo`` has the cases on which both must
agree.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate

#: Upper bounds of the latency histogram, seconds: what is judged here is what is scraped.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Parts of the window. The oldest part is left out once it is partly too old.
SLOTS = 60
SHARE = 0.95


class Kind(StrEnum):
    """The verdict on one service level."""

    OK = "ok"
    BREACH = "breach"
    GAP = "gap"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """The service levels, most urgent first: the numbers of a silent loop are of the past."""

    GAP = "gap"
    ERROR_RATE = "error_rate"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class SLOConfig:
    """Limits, which may be reached but not exceeded. Times in seconds, except where named.

    ``error_rate_threshold``: share of requests; ``latency_threshold_ms``: p95;
    ``evaluation_period``: the window; ``min_requests``: fewer in it are not judged; ``cooldown``:
    between two triggers; ``gap``: longest silence of the heartbeat, of a venue's market data or of
    its fill poll.
    """

    error_rate_threshold: float = 0.02
    latency_threshold_ms: float = 500.0
    evaluation_period: float = 300.0
    min_requests: int = 50
    cooldown: float = 300.0
    gap: float = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One service level: share of failures, p95 in seconds, or silence in seconds; None when it is
    not known. ``subject``: what is silent."""

    kind: Kind
    value: float | None = None
    subject: str = ""


@dataclass(slots=True)
class _Slot:
    number: int
    failed: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))


class Window:
    """The outcomes of the last ``period`` seconds, in memory that does not grow with their number.

    Times need not be unix seconds, but must not fall; one that does counts as the newest.
    """

    def __init__(self, period: float) -> None:
        self._width = period / SLOTS
        self._slots: deque[_Slot] = deque(maxlen=SLOTS + 1)
        self.failed = 0
        self.buckets = [0] * (len(LATENCY_BUCKETS) + 1)

    @property
    def total(self) -> int:
        return sum(self.buckets)

    def add(self, at: float, seconds: float, *, success: bool) -> None:
        """Count one outcome."""
        # A slot covers (n - 1) · width < t <= n · width: an outcome exactly a period old is out.
        number = math.ceil(at / self._width)
        if self._slots and number <= self._slots[-1].number:
            slot = self._slots[-1]
        else:
            self.expire(at)
            slot = _Slot(number)
            self._slots.append(slot)
        bucket = bisect_left(LATENCY_BUCKETS, seconds)
        slot.buckets[bucket] += 1
        self.buckets[bucket] += 1
        slot.failed += not success
        self.failed += not success

    def expire(self, at: float) -> None:
        """Forget what is older than the period at ``at``."""
        oldest = math.ceil(at / self._width - SLOTS)
        while self._slots and self._slots[0].number <= oldest:
            old = self._slots.popleft()
            self.failed -= old.failed
            for bucket, count in enumerate(old.buckets):
                self.buckets[bucket] -= count


def p95(buckets: list[int]) -> float | None:
    """Seconds, from the counts of each bucket of ``LATENCY_BUCKETS`` and of those above; None
    without any. Infinite when it exceeds the largest bound."""
    counts = list(accumulate(buckets))
    if not counts[-1]:
        return None
    rank = SHARE * counts[-1]
    at = next(i for i, count in enumerate(counts) if count >= rank)
    if at == len(LATENCY_BUCKETS):
        return math.inf
    low, below = (LATENCY_BUCKETS[at - 1], counts[at - 1]) if at else (0.0, 0)
    return low + (LATENCY_BUCKETS[at] - low) * ((rank - below) / (counts[at] - below))


def judge_errors(share: float, limit: float) -> Finding:
    """The finding on a share of failures."""
    return Finding(Kind.BREACH if share > limit else Kind.OK, share)


def judge_latency(seconds: float, limit_ms: float) -> Finding:
    """The finding on a p95; ``seconds`` may be infinite."""
    return Finding(Kind.BREACH if seconds > limit_ms / 1000 else Kind.OK, seconds)


def judge(window: Window, config: SLOConfig) -> dict[Reason, Finding]:
    """Error rate and latency of a window."""
    total, latency = window.total, p95(window.buckets)
    if total < config.min_requests or latency is None:
        few = Finding(Kind.UNKNOWN)
        return {Reason.ERROR_RATE: few, Reason.LATENCY: few}
    return {
        Reason.ERROR_RATE: judge_errors(window.failed / total, config.error_rate_threshold),
        Reason.LATENCY: judge_latency(latency, config.latency_threshold_ms),
    }


class Silence:
    """Signs of life by subject, and the longest silence that was not reported yet."""

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self._last: dict[str, float] = {}
        self._ended: tuple[str, float] | None = None

    def expect(self, subject: str, at: float) -> None:
        """Signs of ``subject`` are due from ``at`` on."""
        self._last.setdefault(subject, at)

    def note(self, subject: str, at: float) -> None:
        """A sign of life. A silence that was too long is remembered although it is over."""
        before = self._last.get(subject, at)
        self._last[subject] = max(before, at)
        longest = self._ended[1] if self._ended else self._allowed
        if at - before > longest:
            self._ended = (subject, at - before)

    def judge(self, at: float) -> Finding:
        """The longest silence that lasts at ``at`` or ended since the last judgement."""
        lasting = max(((at - t, subject) for subject, t in self._last.items()), default=(0.0, ""))
        ended, self._ended = self._ended, None
        if ended is not None and ended[1] > lasting[0]:
            lasting = (ended[1], ended[0])
        kind = Kind.GAP if lasting[0] > self._allowed else Kind.OK
        return Finding(kind if self._last else Kind.UNKNOWN, lasting[0], lasting[1])
