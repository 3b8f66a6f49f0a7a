"""Quantities as the API server writes them back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.resources.quantity import canonical, larger, value


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        ("100m", "100m"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.0", "1"),
        ("0.0001", "100u"),
        ("2", "2"),
        ("1000", "1k"),
        ("256Mi", "256Mi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000M", "1G"),
        ("0", "0"),
        ("0Gi", "0"),
    ],
)
def test_canonical_form(given_: str, written: str) -> None:
    assert canonical(given_) == written


@given(st.integers(1, 10**6), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_is_the_same_quantity_and_stays(number: int, suffix: str) -> None:
    text = canonical(f"{number}{suffix}")
    assert value(text) == value(f"{number}{suffix}")
    assert canonical(text) == text


def test_larger() -> None:
    assert larger("1Gi", "1000Mi") == "1Gi"
    assert larger("1Gi", "2Gi") == "2Gi"
    assert larger("1Gi", "1024Mi") == "1Gi"
    assert value("1Gi") == Decimal(2**30)


@pytest.mark.parametrize("text", ["", "Mi", "1x", "-1", "1e3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        value(text)
