"""A connector that passes everything on: what wrappers of connectors start from."""

from __future__ import annotations

from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.venues.base import ExecutionConnector, Listener


class Forwarding:
    """Implements :class:`~tradepulse_runner.venues.base.ExecutionConnector` by ``inner``."""

    def __init__(self, inner: ExecutionConnector) -> None:
        self.inner = inner
        self.name = inner.name
        self.symbols = inner.symbols

    @property
    def outcome_horizon(self) -> float:
        return self.inner.outcome_horizon

    @property
    def streaming(self) -> bool:
        return self.inner.streaming

    @property
    def banned_for(self) -> float:
        return self.inner.banned_for

    def listen(self, listener: Listener) -> None:
        self.inner.listen(listener)

    async def connect(self) -> None:
        await self.inner.connect()

    async def disconnect(self) -> None:
        await self.inner.disconnect()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        return await self.inner.place_order(order, idempotency_key)

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        return await self.inner.cancel_order(ref)

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        return await self.inner.fetch_order(ref)

    async def open_orders(self) -> list[VenueOrder]:
        return await self.inner.open_orders()

    async def get_positions(self) -> Positions:
        return await self.inner.get_positions()

    async def trades_since(self, cursor: str | None) -> TradePage:
        return await self.inner.trades_since(cursor)

    def quote(self, symbol: str) -> Quote | None:
        return self.inner.quote(symbol)

    def instrument(self, symbol: str) -> Instrument:
        return self.inner.instrument(symbol)
