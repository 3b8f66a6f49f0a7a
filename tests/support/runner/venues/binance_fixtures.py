"""The connector against the venue kit: its account has coins and money on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.runner.runner_fixtures import limits, trading
from tests.support.venues.binance import BinanceVenue
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, OrderRef, OrderType, Side, VenueEvent
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.risk.manager import RiskManager
from tradepulse_runner.strategy.base import Strategy
from tradepulse_runner.venues.binance.connector import BinanceConnector, build_binance

SYMBOL = "BTCUSDT"
KEY, SECRET = "k" * 64, "s" * 64
ACCOUNT = "runner"
#: Short, so that proofs by the fence take no time; the kit answers within milliseconds.
QUICK = {"recv_window": 1500, "clock_margin": 0.3}

#: The account holds much, and its worth moves with the market.
WIDE = {"max_notional": "100000000", "max_position": "5000", "max_daily_loss": "100000000"}


@contextlib.asynccontextmanager
async def exchange(coins: str = "1000", **options: Any) -> AsyncIterator[BinanceVenue]:
    """A venue whose account has so many ``coins`` of every kind, money, and the key above."""
    async with BinanceVenue(**options) as venue:
        venue.add_key(KEY, hmac_secret=SECRET, account=ACCOUNT)
        for market in venue.exchange.markets.values():
            venue.exchange.deposit(ACCOUNT, market.base, Decimal(coins))
        venue.exchange.deposit(ACCOUNT, "USDT", Decimal(10_000_000))
        yield venue


def config(venue: BinanceVenue, *symbols: str, **options: Any) -> VenueConfig:
    urls = {
        "rest_url": venue.rest_url,
        "ws_api_url": venue.ws_api_url,
        "stream_url": venue.stream_url,
    }
    return VenueConfig(
        name="binance",
        connector="binance",
        symbols=list(symbols or (SYMBOL,)),
        options={**QUICK, **urls, **options},
    )


def environment_store(key: str = KEY, secret: str = SECRET) -> CredentialStore:
    names = {"BINANCE_API_KEY": key, "BINANCE_API_SECRET": secret}
    return CredentialStore.open("binance", None, names)


def connector(
    venue: BinanceVenue, *symbols: str, store: CredentialStore | None = None, **options: Any
) -> BinanceConnector:
    return build_binance(
        config(venue, *symbols, **options),
        store or environment_store(),
        source="test",
        clock=time.time,
    )


@contextlib.asynccontextmanager
async def connected(
    venue: BinanceVenue, *symbols: str, **more: Any
) -> AsyncIterator[tuple[BinanceConnector, list[VenueEvent]]]:
    """A connector that is connected, and what its streams told."""
    made, heard = connector(venue, *symbols, **more), list[VenueEvent]()
    made.listen(heard.append)
    await made.connect()
    try:
        yield made, heard
    finally:
        await made.disconnect()


@contextlib.asynccontextmanager
async def live(
    venue: BinanceVenue,
    state_dir: Path,
    *,
    made: BinanceConnector | None = None,
    strategy: Strategy | None = None,
    poll: float = 0.2,
    **risk: Any,
) -> AsyncIterator[LiveExecutionLoop]:
    """A loop that trades at the venue; shut down at the end."""
    loop = LiveExecutionLoop(
        {"binance": made or connector(venue)},
        RiskManager(limits(**{**WIDE, **risk}), clock=time.time),
        strategy=strategy,
        config=LiveLoopConfig(
            state_dir,
            submission_interval=0.05,
            fill_poll_interval=poll,
            reconcile_interval=poll,
            heartbeat_interval=0.1,
            max_backoff=0.2,
        ),
    )
    await loop.start(False)
    try:
        await trading(loop)
        yield loop
    finally:
        await loop.shutdown()


def resting(
    made: BinanceConnector, side: Side = Side.BUY, *, away: str = "0.02", quantity: str = "0.01"
) -> Order:
    """A limit order well away from the market, inside the collar."""
    quote = made.quote(SYMBOL)
    assert quote is not None
    price = (quote.mid * (1 - side.sign * Decimal(away))).quantize(made.instrument(SYMBOL).tick)
    return Order(SYMBOL, side, Decimal(quantity), price=price, algo="test")


def market(side: Side = Side.BUY, quantity: str = "0.01") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), OrderType.MARKET, algo="test")


def ref(client_id: str, venue_id: str = "") -> OrderRef:
    return OrderRef(client_id, SYMBOL, venue_id)


def tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if not task.done()}
