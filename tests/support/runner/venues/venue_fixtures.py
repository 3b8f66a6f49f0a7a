"""Both venues of the kit with an account that the runner knows, for tests that hold at any venue.

They check signatures themselves and know nothing of the runner's code.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from tests.support.runner.credentials_fixtures import finish, swapped
from tests.support.runner.runner_fixtures import limits, trading
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import KeyPair, make_es256
from tests.support.venues.exchange import Exchange
from tests.support.venues.faults import Faults
from tests.support.venues.requestlog import Request
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.risk.manager import RiskManager
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.binance.connector import build_binance
from tradepulse_runner.venues.coinbase.connector import build_coinbase


@dataclass
class VenueFixture:
    """One venue: its exchange and its control, and how the runner gets there.

    ``pair``: a number's key and secret, always the same; ``accept`` and ``revoke`` a number's key
    at the venue.
    """

    exchange: Exchange
    faults: Faults
    requests: list[Request]
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

    def deposit(self, *amounts: tuple[str, int]) -> None:
        for asset, quantity in amounts:
            self.exchange.deposit("runner", asset, Decimal(quantity))


@asynccontextmanager
async def binance() -> AsyncIterator[VenueFixture]:
    def pair(number: int) -> tuple[str, str]:
        return f"key-{number}", f"the-secret-of-the-key-{number}"

    async with BinanceVenue(interval=0.05, order_limit=10**6, weight_limit=10**6) as venue:
        place = VenueFixture(
            exchange=venue.exchange,
            faults=venue.faults,
            requests=venue.requests,
            connector="binance",
            symbol="BTCUSDT",
            options={
                "rest_url": venue.rest_url,
                "ws_api_url": venue.ws_api_url,
                "stream_url": venue.stream_url,
            },
            build=build_binance,
            pair=pair,
            accept=lambda number: venue.add_key(pair(number)[0], hmac_secret=pair(number)[1]),
            revoke=lambda number: venue.remove_key(pair(number)[0]),
        )
        place.deposit(("BTC", 10), ("USDT", 10**6))
        yield place


@cache
def _coinbase_key(number: int) -> KeyPair:
    return make_es256(f"organizations/tests/apiKeys/{number}")


@asynccontextmanager
async def coinbase() -> AsyncIterator[VenueFixture]:
    key = _coinbase_key
    async with CoinbaseVenue(interval=0.05, private_rate=None, public_rate=None) as venue:
        place = VenueFixture(
            exchange=venue.exchange,
            faults=venue.faults,
            requests=venue.requests,
            connector="coinbase",
            symbol="BTC-USD",
            options={
                "rest_url": venue.rest_url,
                "ws_url": venue.ws_url,
                "ws_user_url": venue.ws_user_url,
            },
            build=build_coinbase,
            pair=lambda number: (key(number).name, key(number).secret),
            accept=lambda number: venue.add_key(key(number).name, key(number).public_key_pem),
            revoke=lambda number: venue.remove_key(key(number).name),
        )
        place.deposit(("BTC", 10), ("USD", 10**6))
        yield place


VENUE_FIXTURES: dict[str, Callable[[], AbstractAsyncContextManager[VenueFixture]]] = {
    "binance": binance,
    "coinbase": coinbase,
}


@asynccontextmanager
async def running(place: VenueFixture, tmp_path: Path) -> AsyncIterator[LiveExecutionLoop]:
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


def order(loop: LiveExecutionLoop, symbol: str, side: Side, away: str) -> Order:
    """A small limit order, ``away`` from the market as a fraction of it, towards trading if
    positive. Raises :class:`RiskRejected` without a quote."""
    connector = loop.sessions["spot"].connector
    quote, steps = connector.quote(symbol), connector.instrument(symbol)
    if quote is None:
        raise RiskRejected("reference_price", "no quote")
    price = (quote.mid * (1 + side.sign * Decimal(away))).quantize(steps.tick)
    return Order(symbol, side, Decimal("0.001"), price=price, algo="test")
