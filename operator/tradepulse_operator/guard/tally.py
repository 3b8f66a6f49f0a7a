"""Counts of requests, and whether chance could explain them.

A share above the limit in a handful of requests proves nothing: one failure in twenty is 5 %, and a
release that fails one order in two hundred shows it all the time. So a release is rolled back for
a share only when chance can't explain it, and it isn't promoted while the share of everything that
was seen is above the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

#: Chernoff: a release that is just at the limit shows a share q or more in n requests with a
#: probability of at most exp(-n · KL(q‖limit)). Beyond chance: at most 5 %.
BEYOND_CHANCE = math.log(20)
#: Share of requests that may be slower than the 95th percentile.
SLOWER = 0.05


@dataclass(frozen=True)
class Tally:
    """Requests that were answered or given up, those of them that `failed`; requests that were
    `timed`, those of them that were `slow`: slower than the limit of the 95th percentile.

    `slow` is interpolated in its bucket, as the percentile is.
    """

    requests: float = 0.0
    failed: float = 0.0
    timed: float = 0.0
    slow: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return self._with(other, 1)

    def __sub__(self, other: Tally) -> Tally:
        return self._with(other, -1)

    def _with(self, other: Tally, sign: int) -> Tally:
        # Interpolation leaves fractions: rounded, so that sums of pieces add up the same.
        return Tally(
            *(
                round(mine + sign * theirs, 6)
                for mine, theirs in (
                    (self.requests, other.requests),
                    (self.failed, other.failed),
                    (self.timed, other.timed),
                    (self.slow, other.slow),
                )
            )
        )


NOTHING = Tally()


def beyond_chance(bad: float, total: float, limit: float) -> bool:
    """Whether `bad` of `total` leaves no reasonable doubt that the share is above `limit`."""
    if total <= 0 or bad <= limit * total:
        return False
    return total * divergence(bad / total, limit) >= BEYOND_CHANCE


def slower(limit: float, buckets: Mapping[float, float]) -> float:
    """Requests slower than `limit` seconds, of {upper bound: count up to it}: linear within a
    bucket, as the quantile is; all of the last one, which has no upper bound."""
    total = max(buckets.values(), default=0.0)
    bounds = [0.0, *sorted(buckets)]
    for low, high in pairwise(bounds):
        if high < limit:
            continue
        under, upto = buckets.get(low, 0.0), buckets[high]
        part = 0.0 if math.isinf(high) else (limit - low) / (high - low)
        return max(0.0, total - (under + (upto - under) * part))
    return 0.0


def divergence(share: float, limit: float) -> float:
    """Kullback-Leibler divergence of two coins; 0 <= share <= 1, 0 < limit < 1."""
    rest = (1 - share) * math.log((1 - share) / (1 - limit)) if share < 1 else 0.0
    return (share * math.log(share / limit) if share > 0 else 0.0) + rest
