"""The paper venue as the loop sees it: :class:`PaperExchange` behind a network-like latency."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tradepulse_runner.config.runner import Model, Seconds, VenueConfig, parse_model
from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.errors import VenueDisconnected
from tradepulse_runner.venues.base import Listener
from tradepulse_runner.venues.paper_exchange import PaperExchange
from tradepulse_runner.venues.prices import (
    START_PRICES,
    PriceSource,
    RandomWalk,
    RecordedCandles,
    find_recorded,
    load_candles,
)

log = logging.getLogger(__name__)


class PaperOptions(Model):
    """``venues[].options`` of a paper venue.

    ``volatility`` per sqrt(year); ``tick_interval`` seconds; ``latency`` mean seconds each way;
    ``data`` a candle csv or a directory of them, for ``prices: recorded``.
    """

    prices: Literal["random", "recorded"] = "random"
    seed: int = 1
    volatility: Annotated[float, Field(ge=0, le=10)] = 0.6
    start_price: Annotated[float, Field(gt=0)] | None = None
    tick_interval: Annotated[Seconds, Field(ge=0.005)] = 0.2
    latency: Annotated[float, Field(ge=0, le=1)] = 0.004
    data: Path | None = None
    ticks_per_candle: Annotated[int, Field(ge=4)] = 600


class PaperConnector:
    """Implements :class:`~tradepulse_runner.venues.base.ExecutionConnector`."""

    # A request cannot outlive its process here; a second covers the latency.
    outcome_horizon = 1.0
    banned_for = 0.0
    streaming = False

    def __init__(
        self,
        venue: VenueConfig,
        options: PaperOptions,
        directory: Path,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.name = venue.name
        self.symbols = frozenset(venue.symbols)
        self._options = options
        self._path = directory / f"{venue.name}.sqlite"
        self._sources = {s: _source(s, options) for s in venue.symbols}
        self._clock = clock
        self._chance = random.Random(options.seed)
        self._exchange: PaperExchange | None = None
        self._ticker: asyncio.Task[None] | None = None

    @property
    def exchange(self) -> PaperExchange:
        # An exchange whose market stands still would leave us trading on old prices.
        if self._exchange is None or self._ticker is None or self._ticker.done():
            raise VenueDisconnected(f"{self.name}: not connected")
        return self._exchange

    def listen(self, listener: Listener) -> None:
        """The paper venue has no streams: polling it costs nothing."""

    async def connect(self) -> None:
        if self._exchange is None:
            self._exchange = PaperExchange(
                self._path,
                self._sources,
                seed=self._options.seed,
                tick_interval=self._options.tick_interval,
                clock=self._clock,
            )
            self._ticker = asyncio.create_task(self._run_market(), name=f"{self.name}-market")

    async def disconnect(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait({self._ticker})
            if not self._ticker.cancelled() and (why := self._ticker.exception()):
                log.error("paper.market_failed", exc_info=why)
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = self._ticker = None

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        await self._travel()
        answer = self.exchange.place(idempotency_key, order)
        await self._travel()
        return answer

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        await self._travel()
        answer = self.exchange.cancel(ref.client_id)
        await self._travel()
        return answer

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        await self._travel()
        return self.exchange.fetch(ref.client_id)

    async def open_orders(self) -> list[VenueOrder]:
        await self._travel()
        return self.exchange.open_orders()

    async def get_positions(self) -> Positions:
        await self._travel()
        return self.exchange.positions()

    async def trades_since(self, cursor: str | None) -> TradePage:
        await self._travel()
        if cursor is None:
            return TradePage((), str(self.exchange.last_trade()))
        trades = tuple(self.exchange.trades_since(int(cursor)))
        return TradePage(trades, trades[-1].trade_id if trades else cursor)

    def quote(self, symbol: str) -> Quote | None:
        return self._exchange.quote(symbol) if self._exchange else None

    def instrument(self, symbol: str) -> Instrument:
        return self.exchange.instrument(symbol)

    async def _travel(self) -> None:
        """One way over the network: exponential around the mean, cut at ten times it."""
        mean = self._options.latency
        if mean > 0:
            await asyncio.sleep(min(self._chance.expovariate(1 / mean), 10 * mean))

    async def _run_market(self) -> None:
        while True:
            await asyncio.sleep(self._options.tick_interval)
            self.exchange.tick()


def build_paper(
    venue: VenueConfig, state_dir: Path, *, source: str, clock: Callable[[], float]
) -> PaperConnector:
    """Paper venue from its configuration. Raises :class:`ConfigError`."""
    options = parse_model(
        PaperOptions, venue.options, source=source, prefix=f"venues.{venue.name}.options"
    )
    return PaperConnector(venue, options, state_dir / "paper", clock=clock)


def _source(symbol: str, options: PaperOptions) -> PriceSource:
    if options.prices == "recorded":
        candles = load_candles(find_recorded(symbol, options.data))
        return RecordedCandles(candles, options.ticks_per_candle)
    start = options.start_price or START_PRICES.get(symbol, 100.0)
    return RandomWalk(symbol, options.seed, options.volatility, options.tick_interval, start)
