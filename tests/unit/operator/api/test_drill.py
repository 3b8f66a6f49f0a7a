"""Schedules that are admitted come due, whatever they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tradepulse_operator.api.spec.drill import Schedule

NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
SCHEDULE = TypeAdapter[str](Schedule)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """What may stand for minute, hour and so on: up to two terms."""
    number = st.integers(low, high).map(str)
    span = st.one_of(st.just("*"), number, st.tuples(number, number).map("-".join))
    step = st.one_of(st.just(""), st.integers(1, 99).map("/{}".format))
    return st.lists(st.tuples(span, step).map("".join), min_size=1, max_size=2).map(",".join)


FIELDS = [field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)]


@settings(deadline=None)  # a busy machine proves nothing
@given(st.tuples(*FIELDS).map(" ".join))
def test_every_schedule_that_is_admitted_comes_due_within_years(text: str) -> None:
    try:
        SCHEDULE.validate_python(text)
    except ValidationError:  # a range that falls, which the pattern can't tell
        with pytest.raises(CronSimError):
            CronSim(text, NOW)
        return
    ahead, back = next(CronSim(text, NOW)), next(CronSim(text, NOW, reverse=True))
    assert NOW < ahead <= NOW + timedelta(days=366 * 12)
    assert NOW > back >= NOW - timedelta(days=366 * 12)


@pytest.mark.parametrize("text", ["* * * * *", "0 6 * * 1", "*/5 9-17 1,15 * 1-5", "05 06 1 1 7"])
def test_common_schedules_are_admitted(text: str) -> None:
    assert SCHEDULE.validate_python(text) == text
