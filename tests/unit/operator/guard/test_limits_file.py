"""The limits of a report: every format that was filed is read, and the newest one is pinned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.api.guardrails import CustomGuardrail
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.limits_file import dump, load

REPORTS = Path(__file__).parents[3] / "contract" / "vectors" / "reports"
CUSTOM = (CustomGuardrail(name="own", query="up", max=1.0),)
FILED = Limits(
    interval=5.0,
    window=60.0,
    scrape=5.0,
    metric_gap=11.0,
    error_rate=0.005140738,
    p95=0.143915062,
    consecutive=2,
    min_requests=10,
    custom=CUSTOM,
)

spans = st.floats(min_value=0, max_value=1e9)
counts = st.integers(min_value=0, max_value=1_000_000)
any_limits = st.builds(
    Limits,
    interval=spans,
    window=spans,
    scrape=spans,
    metric_gap=spans,
    error_rate=spans,
    p95=spans,
    consecutive=counts,
    min_requests=counts,
    custom=st.sampled_from([(), CUSTOM]),
    required=spans,
    patience=st.none() | spans,
    quiet=st.booleans(),
)


def filed(name: str) -> dict[str, Any]:
    report = yaml.safe_load((REPORTS / f"{name}.yaml").read_text())
    found = json.loads(report["data"]["limits.json"])
    assert isinstance(found, dict)
    return found


@given(any_limits)
def test_what_is_written_is_read_back(limits: Limits) -> None:
    assert load(json.loads(json.dumps(dump(limits))), limits.custom) == limits


@pytest.mark.parametrize("name", ["limits-unversioned", "limits-format-1"])
def test_a_filed_one_says_what_it_said(name: str) -> None:
    assert load(filed(name), CUSTOM) == FILED


def test_the_form_changes_only_with_its_number() -> None:
    assert dump(FILED) == filed("limits-format-1")


def test_an_unversioned_one_may_lack_what_came_later() -> None:
    early = filed("limits-unversioned")
    for later in ("required", "patience", "quiet"):
        del early[later]
    assert load(early, CUSTOM) == FILED


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 2 is unknown"),
        ({"format": "1"}, "format '1' is unknown"),
        ({"windowSeconds": "60"}, "windowSeconds: "),
        ({"consecutive": 1.5}, "consecutive: "),
        ({"errorRate": float("nan")}, "errorRate: "),
        ({"burst": 3}, "burst: "),
    ],
)
def test_what_is_not_understood_is_refused_by_its_field(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load({**filed("limits-format-1"), **change}, ())


@pytest.mark.parametrize("name", ["limits-unversioned", "limits-format-1"])
def test_what_lacks_a_limit_is_refused(name: str) -> None:
    found = filed(name)
    del found["consecutive"]
    with pytest.raises(ValueError, match="consecutive: Field required"):
        load(found, ())
