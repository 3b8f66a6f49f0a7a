"""Keys are rotated while orders flow: none is lost, none is doubled; a wrong key stops trading.

The venues check signatures themselves and know nothing of the runner's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.runner.credentials_kit import finish, swapped
from tests.unit.runner.kit import limits, trading, until
from tests.venues.binance import BinanceVenue
from tests.venues.coinbase import CoinbaseVenue
from tests.venues.coinbase.keys import KeyPair, make_es256
from tradepulse_runner.config import VenueConfig
from tradepulse_runner.credentials import CredentialStore
from tradepulse_runner.domain import Order, OrderStatus, Side
from tradepulse_runner.errors import OrderError, RiskRejected
from tradepulse_runner.loop import LiveExecutionLoop, LiveLoopConfig
from tradepulse_runner.risk import RiskManager
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.binance.connector import build_binance
from tradepulse_runner.venues.coinbase.connector import build_coinbase

ROTATIONS = 100
#: Seconds between two orders.
PACE = 0.02
NEVER_SENT = "not sent"


@dataclass
class Place:
    """One venue: how keys are made and accepted there, and what is traded."""

    venue: BinanceVenue | CoinbaseVenue
    connector: str
    symbol: str
    options: dict[str, str]
    build: Callable[..., ExecutionConnector]
    pairs: dict[int, KeyPair] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, str]:
        return f"{self.connector.upper()}_API_KEY", f"{self.connector.upper()}_API_SECRET"

    def pair(self, number: int) -> tuple[str, str]:
        """Key and secret; the same for the same number."""
        if self.connector == "binance":
            return f"key-{number}", f"the-secret-of-the-key-{number}"
        if number not in self.pairs:
            self.pairs[number] = make_es256(f"organizations/tests/apiKeys/{number}")
        return self.pairs[number].name, self.pairs[number].private_pem

    def accept(self, number: int) -> None:
        key, secret = self.pair(number)
        if isinstance(self.venue, BinanceVenue):
            self.venue.add_key(key, hmac_secret=secret)
        else:
            self.venue.add_key(key, self.pairs[number].public_pem)

    def revoke(self, number: int) -> None:
        self.venue.remove_key(self.pair(number)[0])


@asynccontextmanager
async def binance() -> AsyncIterator[Place]:
    async with BinanceVenue(interval=0.05, order_limit=10**6, weight_limit=10**6) as venue:
        for asset, quantity in (("BTC", 10), ("USDT", 10**6)):
            venue.exchange.deposit("runner", asset, Decimal(quantity))
        urls = {
            "rest_url": venue.rest_url,
            "ws_api_url": venue.ws_api_url,
            "stream_url": venue.stream_url,
        }
        yield Place(venue, "binance", "BTCUSDT", urls, build_binance)


@asynccontextmanager
async def coinbase() -> AsyncIterator[Place]:
    async with CoinbaseVenue(crowd_interval=0.05, private_rate=None, public_rate=None) as venue:
        for asset, quantity in (("BTC", 10), ("USD", 10**6)):
            venue.exchange.deposit("runner", asset, Decimal(quantity))
        urls = {
            "rest_url": venue.rest_url,
            "ws_url": venue.ws_url,
            "ws_user_url": venue.ws_user_url,
        }
        yield Place(venue, "coinbase", "BTC-USD", urls, build_coinbase)


PLACES = pytest.mark.parametrize("place_of", [binance, coinbase], ids=lambda place: place.__name__)
PlaceOf = Callable[[], contextlib.AbstractAsyncContextManager[Place]]


@asynccontextmanager
async def running(place: Place, tmp_path: Path) -> AsyncIterator[LiveExecutionLoop]:
    """A loop that trades there, with the key 1 in files as Kubernetes mounts them."""
    place.accept(1)
    finish(swapped(tmp_path / "mount", place.pair(1), place.names))
    store = CredentialStore.open(place.connector, tmp_path / "mount", {})
    config = VenueConfig(
        name="spot",
        connector=place.connector,  # type: ignore[arg-type]
        symbols=[place.symbol],
        options=place.options,
    )
    loop = LiveExecutionLoop(
        {"spot": place.build(config, store, source="test", clock=time.time)},
        RiskManager(
            limits(max_orders_per_interval=10_000, max_position="9", max_notional="1000000"),
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
                self.refused[type(error).__name__] += 1
            await asyncio.sleep(PACE)

    def _order(self) -> Order:
        connector = self._loop.sessions["spot"].connector
        quote, steps = connector.quote(self._symbol), connector.instrument(self._symbol)
        assert quote is not None
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


@PLACES
async def test_a_hundred_rotations_under_load_lose_and_double_no_order(
    place_of: PlaceOf, tmp_path: Path
) -> None:
    async with place_of() as place, running(place, tmp_path) as loop:
        flow = Flow(loop, place.symbol)
        flowing = asyncio.create_task(flow.run())
        for number in range(2, ROTATIONS + 2):
            await rotate(place, loop, tmp_path / "mount", number)
        flow.stop.set()
        await flowing
        state = loop.sessions["spot"].oms.state
        await until(lambda: not state.unresolved() and not state.with_status(OrderStatus.QUEUED))
        assert not loop.kill_switch[0], loop.kill_switch
        assert generation(loop) == ROTATIONS + 1
        assert len(flow.ids) > ROTATIONS
        for client_id in flow.ids:
            found = place.venue.exchange.by_client_id("runner", client_id)
            known = state.orders.get(client_id)
            assert len(found) == 1, (client_id, known)
        assert len(place.venue.exchange.orders("runner")) == len(flow.ids), "and nothing else"
        assert loop.counts["error"] == 0
        assert not flow.refused


@PLACES
async def test_a_wrong_key_latches_the_kill_switch_and_names_the_venue(
    place_of: PlaceOf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with place_of() as place, running(place, tmp_path) as loop:
        flow = Flow(loop, place.symbol)
        flowing = asyncio.create_task(flow.run())
        await until(lambda: loop.counts["ok"] > 10)
        finish(swapped(tmp_path / "mount", place.pair(666), place.names))
        await until(lambda: loop.kill_switch[0])
        flow.stop.set()
        await flowing
        reason = loop.kill_switch[1]
        assert reason.startswith("spot refused the newest credentials")
        sent = len(place.venue.exchange.orders("runner"))
        place.accept(666)  # somebody mends it: what rests is cancelled, but nothing is sent
        await until(lambda: not place.venue.exchange.open_orders("runner"), seconds=30)
        with pytest.raises(RiskRejected, match="kill switch"):
            loop.submit_order("spot", flow._order())
        assert len(place.venue.exchange.orders("runner")) == sent
        shown = reason + "".join(str(record.__dict__) for record in caplog.records)
        assert place.pair(666)[1] not in shown
        assert place.pair(1)[1] not in shown
