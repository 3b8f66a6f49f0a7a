"""What the runner's tests share: a quick paper venue, a venue that misbehaves, waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.runner.virtual_time import monotonic, unix_time
from tradepulse_runner.config.runner import GuardConfig, RiskConfig, VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    OrderType,
    Positions,
    Quote,
    Side,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.risk.manager import RiskLimits, RiskManager
from tradepulse_runner.strategy.base import Strategy
from tradepulse_runner.venues.base import Listener
from tradepulse_runner.venues.paper import PaperConnector, PaperOptions
from tradepulse_runner.venues.paper_exchange import PaperExchange
from tradepulse_runner.venues.prices import RandomWalk

SYMBOL = "BTC-USD"
LIMITS: dict[str, Any] = {
    "max_position": "5",
    "max_notional": "500000",
    "max_order_notional": "20000",
    "max_orders_per_interval": 60,
    "interval_seconds": 1,
    "max_daily_loss": "10000",
    "price_collar": "0.05",
}


class Crash(BaseException):
    """A kill -9 at this point: nothing catches it."""


def crash_at(step: int) -> Callable[[str], None]:
    """A ``step`` hook that crashes at the ``step``-th announced step."""
    seen = 0

    def hook(_name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            raise Crash

    return hook


def config(state_dir: Path, **changes: Any) -> dict[str, Any]:
    """A valid configuration file's content, on free ports."""
    return {
        "runner": {"name": "test"},
        "state_dir": str(state_dir),
        "strategy": {"name": "momentum", "parameters": {"orders_per_second": 50}},
        "venues": [
            {
                "name": "paper",
                "connector": "paper",
                "symbols": [SYMBOL],
                "options": {"seed": 3, "tick_interval": 0.02, "latency": 0.002},
            }
        ],
        "risk": {**LIMITS, "max_orders_per_interval": 500},
        "loop": {"fill_poll_interval": 0.1, "heartbeat_interval": 0.1},
        "http": {"host": "127.0.0.1", "port": 0},
        "metrics": {"port": 0},
        **changes,
    }


def limits(**changes: Any) -> RiskLimits:
    return RiskLimits.from_config(RiskConfig.model_validate({**LIMITS, **changes}))


def paper(state_dir: Path, **options: Any) -> PaperConnector:
    """A paper venue without latency, its market ticking 50 times a second."""
    quick = {"seed": 3, "tick_interval": 0.02, "latency": 0, **options}
    venue = VenueConfig(name="paper", connector="paper", symbols=[SYMBOL])
    return PaperConnector(
        venue, PaperOptions.model_validate(quick), state_dir / "paper", clock=unix_time
    )


def world(path: Path, clock: Callable[[], float], *, seed: int = 3) -> PaperExchange:
    """The exchange itself, without a connector; it moves only when ``tick`` is called."""
    walk = RandomWalk(SYMBOL, seed, 0.6, 0.2, 60_000.0)
    return PaperExchange(path, {SYMBOL: walk}, seed=seed, tick_interval=0.2, clock=clock)


class Venue:
    """Passes on to a paper venue, and misbehaves where a test says so. ``placed`` lists the
    client ids whose request reached the wire."""

    def __init__(self, inner: PaperConnector) -> None:
        self.inner = inner
        self.name, self.symbols = inner.name, inner.symbols
        self.outcome_horizon = 0.2
        self.streaming = False
        self.banned_for = 0.0
        self.placed: list[str] = []
        self.before_place: Callable[[str], Awaitable[None]] | None = None
        self.after_place: Callable[[str], Awaitable[None]] | None = None
        self.before_any: Callable[[], Awaitable[None]] | None = None

    def listen(self, listener: Listener) -> None:
        self.inner.listen(listener)

    async def connect(self) -> None:
        await self._misbehave()
        await self.inner.connect()

    async def disconnect(self) -> None:
        await self.inner.disconnect()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        await self._misbehave()
        self.placed.append(idempotency_key)
        if self.before_place:
            await self.before_place(idempotency_key)
        answer = await self.inner.place_order(order, idempotency_key)
        if self.after_place:
            await self.after_place(idempotency_key)
        return answer

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        await self._misbehave()
        return await self.inner.cancel_order(ref)

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        await self._misbehave()
        return await self.inner.fetch_order(ref)

    async def open_orders(self) -> list[VenueOrder]:
        await self._misbehave()
        return await self.inner.open_orders()

    async def get_positions(self) -> Positions:
        await self._misbehave()
        return await self.inner.get_positions()

    async def trades_since(self, cursor: str | None) -> TradePage:
        await self._misbehave()
        return await self.inner.trades_since(cursor)

    def quote(self, symbol: str) -> Quote | None:
        return self.inner.quote(symbol)

    def instrument(self, symbol: str) -> Instrument:
        return self.inner.instrument(symbol)

    async def _misbehave(self) -> None:
        if self.before_any:
            await self.before_any()


def make_loop(
    state_dir: Path,
    venue: Venue | None = None,
    *,
    strategy: Strategy | None = None,
    control_dir: Path | None = None,
    credentials: Mapping[str, CredentialStore] | None = None,
    guard: GuardConfig | None = None,
    **risk: Any,
) -> LiveExecutionLoop:
    """A loop with short intervals over one venue named ``paper``."""
    connector = venue or Venue(paper(state_dir))
    return LiveExecutionLoop(
        {"paper": connector},
        RiskManager(limits(**risk), clock=unix_time),
        strategy=strategy,
        credentials=credentials,
        clock=unix_time,
        monotonic=monotonic,
        config=LiveLoopConfig(
            state_dir,
            submission_interval=0.05,
            fill_poll_interval=0.1,
            heartbeat_interval=0.1,
            credential_interval=0.1,
            max_backoff=0.2,
            control_dir=control_dir,
            guard=guard or GuardConfig(),
        ),
    )


@contextlib.asynccontextmanager
async def running(
    state_dir: Path, venue: Venue | None = None, *, cold_start: bool = False, **more: Any
) -> AsyncIterator[LiveExecutionLoop]:
    """A started loop that trades; shut down at the end."""
    loop = make_loop(state_dir, venue, **more)
    await loop.start(cold_start)
    try:
        await trading(loop)
        yield loop
    finally:
        await loop.shutdown()


async def kill(loop: LiveExecutionLoop) -> None:
    """End a loop as kill -9 would: no cancel, no snapshot, no goodbye to the venue."""
    assert loop._task is not None
    loop._task.cancel()
    await asyncio.wait({loop._task})
    for session in loop.sessions.values():
        session.oms.close()
        await session.connector.disconnect()
    loop._lock.release()


async def until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for a condition; AssertionError when it stays false."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"still false after {seconds} s"
        await asyncio.sleep(0.005)


async def trading(loop: LiveExecutionLoop) -> None:
    await until(lambda: loop.phase()[0] is Phase.TRADING)


def resting(
    loop: LiveExecutionLoop, side: Side = Side.BUY, *, away: str = "0.02", quantity: str = "0.01"
) -> Order:
    """A limit order well away from the market, inside the collar."""
    connector = loop.sessions["paper"].connector
    quote = connector.quote(SYMBOL)
    assert quote is not None
    price = quote.mid * (1 - side.sign * Decimal(away))
    tick = connector.instrument(SYMBOL).tick
    return Order(SYMBOL, side, Decimal(quantity), price=price.quantize(tick), algo="test")


def market(side: Side = Side.BUY, quantity: str = "0.01") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), OrderType.MARKET, algo="test")


def at_venue(state_dir: Path) -> PaperExchange:
    """The venue's own book, opened with its clock stopped so that it does not catch up."""
    return world(state_dir / "paper" / "paper.sqlite", lambda: 0.0)
