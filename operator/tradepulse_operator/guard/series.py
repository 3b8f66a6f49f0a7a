"""Raw samples made fit to calculate with: sorted, merged over restarts, counters as increases.

Whatever is odd about samples (NaN, infinities, two values at once, …) becomes a `Doubt` with the
time it concerns. Nothing is repaired: a judgement that rests on a doubtful sample is unknown.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from tradepulse_operator.api.reasons import GuardReason

from .samples import Series

Point = tuple[float, float]

#: Whole numbers up to here are exact in a float.
_LARGEST_COUNT = 2.0**53


@dataclass(frozen=True)
class Doubt:
    """Why samples of `since` … `until` (unix seconds, both included) can't be relied on."""

    since: float
    until: float
    reason: GuardReason
    message: str


@dataclass(frozen=True)
class Track:
    """The samples of one quantity over all instances that reported it, one after another.

    `runs`: finite points by instance, each sorted by time. `times`: of all points, sorted.
    """

    runs: tuple[tuple[Point, ...], ...] = ()
    doubts: tuple[Doubt, ...] = ()
    times: tuple[float, ...] = field(default=())

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, oldest first."""
        return tuple(sorted(point for run in self.runs for point in run))

    def last(self, until: float) -> float | None:
        """Time of the newest point at or before `until`."""
        index = bisect_right(self.times, until)
        return self.times[index - 1] if index else None

    def doubt(self, after: float, until: float) -> Doubt | None:
        """A doubt that concerns `after` < t <= `until`."""
        return next((d for d in self.doubts if d.until > after and d.since <= until), None)


def merge(series: Iterable[Series], *, counter: bool = True) -> Track:
    """One track of the series of one quantity.

    A restarted process has another instance label, hence another series; those follow each other.
    Series that overlap in time are two sources of one number: which one is right can't be known.
    """
    runs, doubts = [], []
    for one in series:
        points, doubtful = _clean(one.points, counter)
        doubts += doubtful
        if points:
            runs.append(points)
    runs.sort(key=lambda run: (run[0][0], run[-1][0]))
    doubts += _overlaps(runs)
    times = sorted([t for run in runs for t, _ in run] + [d.until for d in doubts])
    return Track(tuple(runs), tuple(doubts), tuple(times))


def _clean(points: Sequence[Point], counter: bool) -> tuple[tuple[Point, ...], list[Doubt]]:
    good: list[Point] = []
    doubts: list[Doubt] = []
    for at, value in sorted((p for p in points if math.isfinite(p[0])), key=lambda p: p[0]):
        odd = _odd(value, counter)
        if odd:
            doubts.append(Doubt(at, at, odd, f"a sample is {value}"))
        elif good and good[-1][0] == at:
            if good[-1][1] != value:
                doubts.append(Doubt(at, at, GuardReason.TWO_SERIES, "two values at one instant"))
        else:
            good.append((at, value))
    return tuple(good), doubts


def _odd(value: float, counter: bool) -> GuardReason | None:
    if math.isnan(value):
        return GuardReason.NOT_A_NUMBER
    # Sums of such counts are no longer exact, and soon infinite themselves.
    if math.isinf(value) or (counter and value > _LARGEST_COUNT):
        return GuardReason.INFINITE
    return GuardReason.NEGATIVE_COUNTER if counter and value < 0 else None


def _overlaps(runs: Sequence[tuple[Point, ...]]) -> list[Doubt]:
    """Doubts about the times that two of `runs` (sorted by their first sample) share."""
    doubts: list[Doubt] = []
    reach = -math.inf
    for run in runs:
        first, last = run[0][0], run[-1][0]
        if first <= reach:
            doubts.append(
                Doubt(
                    first, min(reach, last), GuardReason.TWO_SERIES, "two series report it at once"
                )
            )
        reach = max(reach, last)
    return doubts


@dataclass(frozen=True)
class Increases:
    """A counter as increases, each at the time of the sample that showed it."""

    times: tuple[float, ...]
    totals: tuple[float, ...]

    def between(self, after: float, until: float) -> float:
        """The increase over `after` < t <= `until`; never negative."""
        low, high = bisect_right(self.times, after), bisect_right(self.times, until)
        before = self.totals[low - 1] if low else 0.0
        return max(0.0, (self.totals[high - 1] if high else 0.0) - before)


def increases(track: Track, seen: Sequence[float], reach: float) -> Increases:
    """The increases of a counter.

    A value below the one before it is a restart: the counter began at zero. So did a series that
    appears although the process had been scraped before (`seen`, sorted times). Samples more than
    `reach` seconds apart say nothing about when it rose: the later one is a new beginning.
    """
    points: list[Point] = []
    for run in track.runs:
        first, value = run[0]
        before = bisect_right(seen, first - 1e-9)
        if before and first - seen[before - 1] <= reach:
            points.append((first, value))
        for (earlier, old), (later, new) in pairwise(run):
            if later - earlier <= reach:
                points.append((later, new - old if new >= old else new))
    points.sort()
    return Increases(tuple(t for t, _ in points), tuple(accumulate(value for _, value in points)))
