"""How old a request is at least, by a clock that never jumps."""

from __future__ import annotations

from tradepulse_runner.live.send_times import SendTimes


def test_what_another_process_sent_is_as_old_as_this_one_at_least() -> None:
    now = 100.0
    send_times = SendTimes(clock=lambda: now)
    now = 103.0
    assert send_times.age("before us") == 3.0


def test_a_request_is_as_old_as_the_latest_moment_it_may_have_left() -> None:
    now = 100.0
    send_times = SendTimes(clock=lambda: now)
    now = 105.0
    send_times.note("ours")
    now = 107.0
    assert send_times.age("ours") == 2.0
    send_times.note("ours")  # a connector may send it again until it gives up
    now = 108.0
    assert send_times.age("ours") == 1.0


def test_what_is_settled_is_forgotten() -> None:
    send_times = SendTimes(clock=lambda: 0.0)
    for number in range(1000):
        send_times.note(f"id-{number}")
        send_times.keep({f"id-{number}"})
    assert len(send_times._sent_at) == 1
