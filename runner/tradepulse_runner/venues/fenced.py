"""A connector that lets an order or a cancel pass only while this process may write.

The last check before the venue: whatever took its time on the way here (a queue, a sync to disk, a
process that was stopped and continued), is measured at this moment.
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.errors import OrderRejected
from tradepulse_runner.venues.base import ExecutionConnector, Listener

#: Says why nothing may be sent at this moment; "" while it may.
Permit = Callable[[], str]


class Fenced:
    """Passes everything on to ``inner``; orders and cancels only with ``permit``."""

    def __init__(self, inner: ExecutionConnector, permit: Permit) -> None:
        self.inner = inner
        self.name = inner.name
        self.symbols = inner.symbols
        self.unknown_fence = inner.unknown_fence
        self._permit = permit

    def listen(self, listener: Listener) -> None:
        self.inner.listen(listener)

    async def connect(self) -> None:
        await self.inner.connect()

    async def disconnect(self) -> None:
        await self.inner.disconnect()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._require_permit()
        return await self.inner.place_order(order, idempotency_key)

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        self._require_permit()
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

    def _require_permit(self) -> None:
        """Refused here, so it was certainly not sent."""
        if why := self._permit():
            raise OrderRejected(f"{self.name}: not sent: {why}")
