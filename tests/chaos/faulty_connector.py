"""Faults around a connector that has no network: what happens to requests on their way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import TypeVar

from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.errors import OrderRejected, OutcomeUnknown, VenueDisconnected
from tradepulse_runner.venues.base import ExecutionConnector, Listener

T = TypeVar("T")
KINDS = ("lost", "unanswered", "disconnected")
ORDER_KINDS = (*KINDS, "late", "late", "late", "refused")


class FaultyConnector:
    """Passes on to ``inner``, one request in ``rarity`` excepted. Implements
    :class:`~tradepulse_runner.venues.base.ExecutionConnector`."""

    def __init__(
        self,
        inner: ExecutionConnector,
        chance: random.Random,
        *,
        rarity: int,
        kinds: tuple[str, ...] = ORDER_KINDS,
    ) -> None:
        self.inner = inner
        self.name, self.symbols = inner.name, inner.symbols
        self.streaming = inner.streaming
        self.outcome_horizon = inner.outcome_horizon
        self._chance, self._rarity, self._kinds = chance, rarity, kinds
        self._late: set[asyncio.Task[VenueOrder]] = set()

    @property
    def banned_for(self) -> float:
        return self.inner.banned_for

    def listen(self, listener: Listener) -> None:
        self.inner.listen(listener)

    async def connect(self) -> None:
        await self.inner.connect()

    async def disconnect(self) -> None:
        # What is on its way arrives, whether anybody waits for it or not.
        await asyncio.gather(*self._late, return_exceptions=True)
        await self.inner.disconnect()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        request = self.inner.place_order(order, idempotency_key)
        if self._chance.randrange(self._rarity):
            return await request
        kind = self._chance.choice(self._kinds)
        if kind == "late":  # accepted after we were told that nobody knows, before the fence
            task = asyncio.create_task(self._later(request))
            self._late.add(task)
            task.add_done_callback(self._forget)
            raise OutcomeUnknown("timeout, the request is still on its way")
        if kind == "refused":
            request.close()
            raise OrderRejected("the venue has no time")
        return await self._fail(request, kind)

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        return await self._perhaps(self.inner.cancel_order(ref))

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        return await self._perhaps(self.inner.fetch_order(ref))

    async def open_orders(self) -> list[VenueOrder]:
        return await self._perhaps(self.inner.open_orders())

    async def get_positions(self) -> Positions:
        return await self._perhaps(self.inner.get_positions())

    async def trades_since(self, cursor: str | None) -> TradePage:
        if cursor and not self._chance.randrange(self._rarity):
            # Pages may overlap: everything that was booked is told again.
            page = await self.inner.trades_since("0")
            known = [t for t in page.trades if int(t.trade_id) <= int(cursor)]
            fresh = [t for t in page.trades if int(t.trade_id) > int(cursor)]
            return TradePage((*known[-5:], *fresh), fresh[-1].trade_id if fresh else cursor)
        return await self._perhaps(self.inner.trades_since(cursor))

    def quote(self, symbol: str) -> Quote | None:
        return self.inner.quote(symbol)

    def instrument(self, symbol: str) -> Instrument:
        return self.inner.instrument(symbol)

    async def _perhaps(self, request: Awaitable[T]) -> T:
        if self._chance.randrange(self._rarity):
            return await request
        return await self._fail(request, self._chance.choice(KINDS))

    async def _fail(self, request: Awaitable[T], kind: str) -> T:
        if kind == "unanswered":
            await request
            raise OutcomeUnknown("no answer, though it was done")
        request.close()  # type: ignore[attr-defined]
        if kind == "disconnected":
            raise VenueDisconnected("connection reset")
        raise OutcomeUnknown("no answer, and it was not done")

    async def _later(self, request: Awaitable[VenueOrder]) -> VenueOrder:
        await asyncio.sleep(self._chance.uniform(0, 0.8) * self.outcome_horizon)
        return await request

    def _forget(self, task: asyncio.Task[VenueOrder]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # a refusal that nobody waits for
