"""Counting in a window of time, on a clock that may be set."""

from __future__ import annotations

from tradepulse_runner.risk.throttle import Window


def test_events_count_for_their_seconds() -> None:
    window = Window(2, 1.0)
    window.add(10.0)
    window.add(10.5)
    assert window.full(10.9)
    assert not window.full(11.0)
    assert window.count(11.5) == 0


def test_a_clock_that_is_set_back_lets_nothing_count_longer() -> None:
    window = Window(2, 1.0)
    window.add(3600.0)
    window.add(3600.5)
    assert window.full(0.0)  # they may be that young
    assert not window.full(1.1)


def test_a_clock_that_is_set_back_a_little_keeps_what_was_before() -> None:
    window = Window(9, 1.0)
    window.add(10.0)
    window.add(10.8)
    assert window.count(10.4) == 2
    assert window.count(11.0) == 1
    assert window.count(11.4) == 0
