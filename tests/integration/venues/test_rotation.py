"""Keys are rotated while orders flow, at each venue; a wrong key stops trading."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.support.runner.credentials_fixtures import finish, swapped
from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.venue_fixtures import VenueFixture, order, running
from tradepulse_runner.domain import OrderStatus, Side
from tradepulse_runner.errors import OrderError, RiskRejected
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.phase import Phase

ROTATIONS = 100
#: Seconds between two orders.
PACE = 0.02


class Flow:
    """Orders that rest, and some that trade, one after the other until it is told to end."""

    def __init__(self, loop: LiveExecutionLoop, symbol: str) -> None:
        self._loop, self._symbol = loop, symbol
        self.ids: list[str] = []
        self.refused: Counter[str] = Counter()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.send()
                if len(self.ids) % 2 == 0 and len(self.ids) > 20:
                    await self._loop.cancel_order(self.ids[-20], "spot")
            except (RiskRejected, OrderError) as error:
                self.refused[str(error)] += 1
            await asyncio.sleep(PACE)

    def send(self) -> None:
        number = len(self.ids)
        side = Side.BUY if number % 4 < 2 else Side.SELL
        away = "0.001" if number % 5 == 0 else "-0.02"
        made = order(self._loop, self._symbol, side, away)
        self.ids.append(self._loop.submit_order("spot", made))


async def rotate(place: VenueFixture, loop: LiveExecutionLoop, mount: Path, number: int) -> None:
    """To the key ``number``. Every third time the old one is gone before the files were seen."""
    place.accept(number)
    finish(swapped(mount, place.pair(number), place.names))
    if number % 3:
        await until(lambda: generation(loop) == number)
    place.revoke(number - 1)
    await until(lambda: generation(loop) == number)


def generation(loop: LiveExecutionLoop) -> float | None:
    name = "tradepulse_credentials_generation"
    return loop.metrics.registry.get_sample_value(name, {"venue": "spot"})


async def test_a_hundred_rotations_lose_and_double_no_order(
    place: VenueFixture, tmp_path: Path
) -> None:
    """Whatever became of an order, runner and venue say the same of it, and no venue knows one
    twice; the kill switch stays open. At Binance nobody even notices. Coinbase's user stream was
    subscribed with a key that is gone meanwhile: it is connected anew, and what was on its way is
    asked for, so an order may be late, but never lost."""
    async with running(place, tmp_path) as loop:
        flow = Flow(loop, place.symbol)
        flowing = asyncio.create_task(flow.run())
        for number in range(2, ROTATIONS + 2):
            await rotate(place, loop, tmp_path / "mount", number)
        await until(lambda: len(flow.ids) > ROTATIONS, seconds=60)  # a slow machine gets its load
        flow.stop.set()
        await flowing
        state = loop.sessions["spot"].oms.state
        await until(
            lambda: not [r for r in state.live.values() if not r.status.working], seconds=60
        )
        assert not loop.kill_switch[0], loop.kill_switch
        assert generation(loop) == ROTATIONS + 1
        gone = {
            record.client_id
            for record in state.orders.values()
            if record.status in (OrderStatus.REJECTED, OrderStatus.EXPIRED)
        }
        at_venue = Counter(order.client_id for order in place.exchange.orders("runner"))
        assert at_venue == Counter(client_id for client_id in flow.ids if client_id not in gone)
        if place.connector == "binance":
            assert (loop.counts["error"], flow.refused) == (0, {})


async def test_a_wrong_key_latches_and_is_not_shown(
    place: VenueFixture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason names the venue; a right key lets what rests be cancelled, but nothing is sent."""
    async with running(place, tmp_path) as loop:
        flow = Flow(loop, place.symbol)
        flowing = asyncio.create_task(flow.run())
        await until(lambda: loop.counts["ok"] > 10)
        finish(swapped(tmp_path / "mount", place.pair(666), place.names))
        await until(lambda: loop.kill_switch[0])
        flow.stop.set()
        await flowing
        reason = loop.kill_switch[1]
        assert reason.startswith("spot refused the newest credentials")
        sent = len(place.exchange.orders("runner"))
        place.accept(666)  # somebody mends it: what rests is cancelled, but nothing is sent
        await until(lambda: not place.exchange.open_orders("runner"), seconds=30)
        await until(lambda: loop.phase()[0] is Phase.HALTED)
        with pytest.raises(RiskRejected, match="kill switch"):
            flow.send()
        assert len(place.exchange.orders("runner")) == sent
    shown = reason + "".join(str(record.__dict__) for record in caplog.records)
    secrets = "\n".join(place.pair(number)[1] for number in (1, 666)).splitlines()
    assert not [line for line in secrets if line.strip("-\n ") and line[0] != "-" and line in shown]
