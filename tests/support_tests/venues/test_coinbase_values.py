"""Numbers, times and identifiers survive the way there and back."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.venues.coinbase.values import (
    as_shown,
    moment,
    number,
    order_number,
    order_uuid,
    stamp,
)


@given(st.integers(0, 2**48 - 1))
def test_order_numbers_survive_their_uuid(n: int) -> None:
    assert order_number(order_uuid(n)) == n
    assert uuid.UUID(order_uuid(n)).variant == uuid.RFC_4122


@pytest.mark.parametrize("other", ["", "x", "11111111-1111-1111-1111-111111111111"])
def test_other_identifiers_are_nobodys(other: str) -> None:
    assert order_number(other) is None


@given(st.decimals(min_value=0, max_value=10**9, places=8))
def test_numbers_keep_their_value_and_have_no_exponent(value: Decimal) -> None:
    text = number(value)
    assert Decimal(text) == value
    assert "E" not in text


@pytest.mark.parametrize(
    ("value", "text"), [("1E+3", "1000"), ("0E-8", "0"), ("1.500", "1.5"), ("100", "100")]
)
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    assert number(Decimal(value)) == text


@given(st.floats(0, 4e9))
def test_times_are_compared_as_they_are_shown(time: float) -> None:
    assert as_shown(time) == moment(stamp(time))


def test_times_keep_microseconds() -> None:
    assert stamp(1700000000.123456) == "2023-11-14T22:13:20.123456Z"
    assert moment("2023-11-14T22:13:20.123456Z") == 1700000000.123456
