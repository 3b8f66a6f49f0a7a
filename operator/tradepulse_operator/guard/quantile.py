"""A quantile from the buckets of a histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate


class MalformedBuckets(ValueError):
    """The buckets aren't a histogram; the text says why."""


@dataclass(frozen=True)
class Quantile:
    """`value` is the quantile, or where it is `open`, a bound that the quantile exceeds."""

    value: float
    open: bool = False


def quantile(share: float, buckets: Mapping[float, float]) -> Quantile | None:
    """The `share`-quantile of {upper bound: cumulative count}; None without observations.

    As Prometheus' `histogram_quantile`: linear within a bucket, the first one begins at zero, and
    a quantile in the +Inf bucket can only be said to exceed the highest finite bound.
    Raises MalformedBuckets.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or any(math.isnan(b) for b in bounds):
        raise MalformedBuckets("a histogram needs a bucket with a bound and the +Inf bucket")
    # Cumulative counts can't fall; a scrape that raced with an observation may show it.
    counts = list(accumulate((buckets[bound] for bound in bounds), max))
    total = counts[-1]
    if total <= 0:
        return None
    rank = share * total
    at = next(i for i, count in enumerate(counts) if count >= rank)
    if at == len(bounds) - 1:
        return Quantile(bounds[-2], open=True)
    return Quantile(_within(rank, at, bounds, counts))


def _within(rank: float, at: int, bounds: list[float], counts: list[float]) -> float:
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    low, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return low + (bounds[at] - low) * ((rank - below) / inside) if inside else low
