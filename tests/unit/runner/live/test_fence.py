"""How old a request is at least, by a clock that never jumps."""

from __future__ import annotations

from tradepulse_runner.live.fence import Departures


def test_what_another_process_sent_is_as_old_as_this_one_at_least() -> None:
    now = 100.0
    departures = Departures(clock=lambda: now)
    now = 103.0
    assert departures.age("before us") == 3.0


def test_a_request_is_as_old_as_the_latest_moment_it_may_have_left() -> None:
    now = 100.0
    departures = Departures(clock=lambda: now)
    now = 105.0
    departures.note("ours")
    now = 107.0
    assert departures.age("ours") == 2.0
    departures.note("ours")  # a connector may send it again until it gives up
    now = 108.0
    assert departures.age("ours") == 1.0


def test_what_is_settled_is_forgotten() -> None:
    departures = Departures(clock=lambda: 0.0)
    for number in range(1000):
        departures.note(f"id-{number}")
        departures.keep({f"id-{number}"})
    assert len(departures._left) == 1
