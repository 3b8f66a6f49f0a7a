"""The quantile is Prometheus'."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.guard.quantile import MalformedBuckets, Quantile, quantile

INF = math.inf


@pytest.mark.parametrize(
    ("buckets", "found"),
    [
        # Within a bucket the observations are taken as spread evenly.
        ({0.1: 0, 0.5: 100, INF: 100}, 0.1 + 0.4 * 0.95),
        ({0.1: 90, 0.5: 100, INF: 100}, 0.1 + 0.4 * 0.5),
        # The first bucket begins at zero.
        ({0.1: 100, 0.5: 100, INF: 100}, 0.095),
        # Exactly on a bound.
        ({0.1: 95, 0.5: 100, INF: 100}, 0.1),
        # One that raced: a cumulative count can't fall.
        ({0.1: 90, 0.25: 80, 0.5: 100, INF: 100}, 0.25 + 0.25 * 0.5),
    ],
)
def test_interpolates(buckets: dict[float, float], found: float) -> None:
    result = quantile(0.95, buckets)
    assert result is not None
    assert result.value == pytest.approx(found)
    assert not result.open


def test_in_the_last_bucket_it_is_only_known_to_be_more() -> None:
    assert quantile(0.95, {0.1: 50, 0.5: 90, INF: 100}) == Quantile(0.5, open=True)


def test_a_first_bound_that_is_not_positive_is_not_interpolated() -> None:
    assert quantile(0.5, {-1.0: 100, INF: 100}) == Quantile(-1.0)


def test_without_observations_there_is_none() -> None:
    assert quantile(0.95, {0.1: 0, INF: 0}) is None


@pytest.mark.parametrize(
    "buckets", [{}, {INF: 3}, {0.1: 3}, {0.1: 3, 0.5: 4}, {math.nan: 1, INF: 1}]
)
def test_malformed(buckets: dict[float, float]) -> None:
    with pytest.raises(MalformedBuckets):
        quantile(0.95, buckets)


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=8).filter(any),
    st.floats(0.01, 1.0),
)
def test_it_lies_in_the_bucket_that_holds_the_rank(counts: list[int], share: float) -> None:
    bounds = [*range(1, len(counts)), INF]
    cumulative = [sum(counts[: i + 1]) for i in range(len(counts))]
    buckets = dict(zip(bounds, map(float, cumulative), strict=True))
    found = quantile(share, buckets)
    assert found is not None
    rank = share * cumulative[-1]
    if found.open:
        assert cumulative[-2] < rank
    else:
        below = [n for b, n in zip(bounds, cumulative, strict=True) if b <= found.value - 1e-9]
        above = [n for b, n in zip(bounds, cumulative, strict=True) if b >= found.value - 1e-9]
        assert all(n <= rank + 1e-9 for n in below)
        assert above[0] >= rank - 1e-9
