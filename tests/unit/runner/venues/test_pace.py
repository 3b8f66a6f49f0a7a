"""Reads have a share of what a venue allows, and a venue's wish for silence is obeyed."""

from __future__ import annotations

import pytest

from tradepulse_runner.errors import VenueThrottled
from tradepulse_runner.venues.coinbase.limits import BURST, PER_SECOND, READ_SHARE, Limits
from tradepulse_runner.venues.pace import MAX_WAIT, Share, Silence


class Time:
    """A clock that moves when it is told, or slept on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr("tradepulse_runner.venues.pace.asyncio.sleep", made.sleep)
    return made


async def test_in_any_second_reads_leave_a_third_of_coinbases_limit_to_others(time: Time) -> None:
    limits, left = Limits("cb", time), list[float]()
    while time.now < 1_060:
        await limits.admit(urgent=False)
        left.append(time.now)
    busiest = max(sum(began <= at < began + 1 for at in left) for began in left)
    assert PER_SECOND * READ_SHARE <= busiest <= PER_SECOND * READ_SHARE + BURST
    assert busiest <= PER_SECOND * 2 / 3


async def test_what_is_urgent_waits_for_no_read(time: Time) -> None:
    limits = Limits("cb", time)
    for _ in range(40):
        await limits.admit(urgent=False)
    began = time.now
    for _ in range(10):
        await limits.admit(urgent=True)
    assert time.now == began


async def test_a_read_gives_up_rather_than_wait_longer_than_its_caller(time: Time) -> None:
    share = Share("v", 1.0, 2.0, time)
    for _ in range(2):
        await share.take()
    with pytest.raises(VenueThrottled, match="share") as caught:
        await share.take(MAX_WAIT + 1)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT + 1)
    assert time.now == 1_000.0
    await share.take(3)  # what was given up costs nothing
    assert time.now == 1_003.0


async def test_a_longer_silence_is_not_shortened_and_a_read_that_waited_obeys_it(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits("cb", time)
    limits.silence.keep(30)
    limits.silence.keep(10)
    assert limits.silence.left == 30
    for urgent in (True, False):
        with pytest.raises(VenueThrottled):
            await limits.admit(urgent=urgent)
    time.now += 30
    for _ in range(BURST):
        await limits.admit(urgent=False)

    async def throttled_meanwhile(seconds: float) -> None:
        limits.silence.keep(5)

    monkeypatch.setattr("tradepulse_runner.venues.pace.asyncio.sleep", throttled_meanwhile)
    with pytest.raises(VenueThrottled):
        await limits.admit(urgent=False)


def test_there_is_silence_only_when_asked_for(time: Time) -> None:
    silence = Silence("v", time)
    silence.require_over()
    assert silence.left == 0
