"""Keys are rotated while orders flow, at any venue.

The venues check signatures themselves and know nothing of the runner's code.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from tests.unit.runner.credentials_kit import finish, swapped
from tests.unit.runner.kit import limits, trading, until
from tests.venues.exchange import Exchange
from tradepulse_runner.config import VenueConfig
from tradepulse_runner.credentials import CredentialStore
from tradepulse_runner.domain import Order, OrderStatus, Side
from tradepulse_runner.errors import OrderError, RiskRejected
from tradepulse_runner.loop import LiveExecutionLoop, LiveLoopConfig
from tradepulse_runner.phase import Phase
from tradepulse_runner.risk import RiskManager
from tradepulse_runner.venues.base import ExecutionConnector

ROTATIONS = 100
#: Seconds between two orders.
PACE = 0.02


@dataclass
class Place:
    """One venue: its exchange and its control, and how the runner gets there.

    ``pair``: a number's key and secret, always the same; ``accept`` and ``revoke`` a number's key
    at the venue.
    """

    exchange: Exchange
    connector: Literal["binance", "coinbase"]
    symbol: str
    options: dict[str, str]
    build: Callable[..., ExecutionConnector]
    pair: Callable[[int], tuple[str, str]]
    accept: Callable[[int], None]
    revoke: Callable[[int], None]

    @property
    def names(self) -> tuple[str, str]:
        return f"{self.connector.upper()}_API_KEY", f"{self.connector.upper()}_API_SECRET"


@asynccontextmanager
async def running(place: Place, tmp_path: Path) -> AsyncIterator[LiveExecutionLoop]:
    """A loop that trades there, with the key 1 in files as Kubernetes mounts them."""
    place.accept(1)
    finish(swapped(tmp_path / "mount", place.pair(1), place.names))
    store = CredentialStore.open(place.connector, tmp_path / "mount", {})
    config = VenueConfig(
        name="spot",
        connector=place.connector,
        symbols=[place.symbol],
        options=place.options,
    )
    loop = LiveExecutionLoop(
        {"spot": place.build(config, store, source="test", clock=time.time)},
        RiskManager(
            limits(max_orders_per_interval=10_000, max_position="20", max_notional="3000000"),
            clock=time.time,
        ),
        config=LiveLoopConfig(
            tmp_path / "state",
            submission_interval=0.05,
            fill_poll_interval=0.2,
            credential_interval=0.1,
            max_backoff=0.5,
        ),
        credentials={"spot": store},
    )
    await loop.start()
    try:
        await trading(loop)
        yield loop
    finally:
        await loop.shutdown()


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
                self.ids.append(self._loop.submit_order("spot", self._order()))
                if len(self.ids) % 2 == 0 and len(self.ids) > 20:
                    await self._loop.cancel_order(self.ids[-20], "spot")
            except (RiskRejected, OrderError) as error:
                self.refused[str(error)] += 1
            await asyncio.sleep(PACE)

    def _order(self) -> Order:
        connector = self._loop.sessions["spot"].connector
        quote, steps = connector.quote(self._symbol), connector.instrument(self._symbol)
        if quote is None:
            raise RiskRejected("reference_price", "no quote")
        number = len(self.ids)
        side = Side.BUY if number % 4 < 2 else Side.SELL
        away = Decimal("0.001") if number % 5 == 0 else Decimal("-0.02")
        price = (quote.mid * (1 + side.sign * away)).quantize(steps.tick)
        return Order(self._symbol, side, Decimal("0.001"), price=price, algo="test")


async def rotate(place: Place, loop: LiveExecutionLoop, mount: Path, number: int) -> None:
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


@dataclass(frozen=True)
class Outcome:
    """Orders that were submitted, those that got no good answer, and why others were refused."""

    orders: int
    errors: int
    refused: Counter[str]


async def rotate_a_hundred_times(place: Place, tmp_path: Path) -> Outcome:
    """Under load. Whatever became of an order, runner and venue say the same of it, and no venue
    knows one twice; the kill switch stays open."""
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
        return Outcome(len(flow.ids), loop.counts["error"], flow.refused)


async def rotate_to_a_wrong_key(place: Place, tmp_path: Path) -> str:
    """The kill switch latches and names the venue; a right key lets what rests be cancelled, but
    nothing is sent. Returns the reason."""
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
            loop.submit_order("spot", flow._order())
        assert len(place.exchange.orders("runner")) == sent
        return reason
