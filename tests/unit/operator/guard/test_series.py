"""Odd samples have a defined outcome."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.guard.samples import Series
from tradepulse_operator.guard.series import increases, merge


def series(*points: tuple[float, float], instance: str = "a") -> Series:
    return Series({"instance": instance}, points)


def rise(*found: Series, after: float = -1, until: float = 1000, reach: float = 60) -> float:
    return increases(merge(found), (), reach).between(after, until)


def test_rises_add_up() -> None:
    assert rise(series((0, 5), (15, 7), (30, 7), (45, 12))) == 7


def test_a_fall_is_a_restart_from_zero() -> None:
    assert rise(series((0, 100), (15, 110), (30, 4), (45, 6))) == 10 + 4 + 2


def test_an_increase_counts_when_it_was_seen() -> None:
    one = series((0, 0), (15, 10), (30, 30))
    assert rise(one, after=0, until=29) == 10
    assert rise(one, after=15, until=30) == 20
    assert rise(one, after=30, until=99) == 0


def test_samples_too_far_apart_say_nothing_about_when() -> None:
    assert rise(series((0, 0), (61, 500), (76, 501))) == 1


def test_order_of_samples_and_of_series_is_irrelevant() -> None:
    assert rise(series((30, 30), (0, 0), (15, 10))) == 30
    new, old = series((30, 2), (45, 3), instance="b"), series((0, 0), (15, 10))
    seen = (0.0, 15.0, 30.0, 45.0)
    assert increases(merge([new, old]), seen, 60).between(-1, 99) == 10 + 2 + 1


def test_a_series_that_appears_later_than_its_process_began_at_zero() -> None:
    late = merge([series((30, 3), (45, 5))])
    assert increases(late, (0.0, 15.0, 30.0), 60).between(0, 99) == 5
    assert increases(late, (30.0, 45.0), 60).between(0, 99) == 2, "its beginning was not seen"
    assert increases(late, (-60.0, 30.0), 60).between(0, 99) == 2, "seen too long ago"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "NotANumber"),
        (math.inf, "Infinite"),
        (-math.inf, "Infinite"),
        (-1.0, "NegativeCounter"),
    ],
)
def test_an_odd_value_makes_its_time_doubtful(value: float, reason: str) -> None:
    track = merge([series((0, 1), (15, value), (30, 2))])
    doubt = track.doubt(0, 15)
    assert doubt is not None
    assert doubt.reason == reason
    assert track.doubt(15, 30) is None
    assert increases(track, (), 60).between(-1, 99) == 1


def test_only_counters_have_to_be_positive() -> None:
    assert merge([series((0, -3))], counter=False).doubts == ()


def test_two_series_at_once_are_doubtful_while_they_overlap() -> None:
    track = merge([series((0, 1), (60, 2)), series((45, 1), (90, 2), instance="b")])
    assert [(d.since, d.until, d.reason) for d in track.doubts] == [(45, 60, "TwoSeries")]
    assert track.doubt(60, 90) is None


def test_three_series_overlap_in_pairs() -> None:
    track = merge(
        [
            series((0, 1), (100, 2)),
            series((10, 1), (20, 2), instance="b"),
            series((30, 1), (40, 2), instance="c"),
        ]
    )
    assert [(d.since, d.until) for d in track.doubts] == [(10, 20), (30, 40)]


def test_one_instant_with_two_values_is_doubtful_and_with_one_value_twice_is_not() -> None:
    assert merge([series((0, 1), (15, 2), (15, 3))]).doubts[0].reason == "TwoSeries"
    assert merge([series((0, 1), (15, 2), (15, 2))]).doubts == ()


def test_nothing_is_nothing() -> None:
    track = merge([])
    assert (track.points, track.last(99), increases(track, (), 60).between(0, 99)) == ((), None, 0)


points = st.lists(
    st.tuples(
        st.floats(0, 1000) | st.just(math.nan),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=12,
)


@given(st.lists(points, max_size=4), st.floats(0, 1000), st.floats(0, 1000))
def test_any_samples_have_an_increase_that_is_not_negative(
    found: list[list[tuple[float, float]]], after: float, until: float
) -> None:
    track = merge([Series({}, tuple(one)) for one in found])
    assert increases(track, (), 60).between(after, until) >= 0


counters = st.lists(st.integers(0, 1000), min_size=2, max_size=40)


@given(counters, st.integers(0, 40))
def test_windows_that_adjoin_add_up(values: list[int], cut: int) -> None:
    found = increases(merge([series(*((15.0 * i, v) for i, v in enumerate(values)))]), (), 60)
    whole = found.between(-1, 9999)
    assert found.between(-1, 15.0 * cut) + found.between(15.0 * cut, 9999) == whole
