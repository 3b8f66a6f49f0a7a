"""The venue's data of recent orders: their two ids, and the order itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from tradepulse_runner.domain import Order, VenueOrder

KEEP = 5_000


class Known:
    """The orders received last, at most ``keep``. Coinbase looks orders up by its own id only; its
    fills have no client ids, and not every update has the whole order."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._orders: OrderedDict[str, VenueOrder] = OrderedDict()  # by the venue's id
        self._venue_ids: OrderedDict[str, str] = OrderedDict()  # by client id
        self._awaited: dict[str, asyncio.Future[VenueOrder]] = {}

    def remember(self, order: VenueOrder) -> VenueOrder:
        self._orders[order.venue_id] = order
        self._orders.move_to_end(order.venue_id)
        if len(self._orders) > self._keep:
            self._orders.popitem(last=False)
        self.name(order.client_id, order.venue_id)
        if (waiting := self._awaited.pop(order.venue_id, None)) and not waiting.done():
            waiting.set_result(order)
        return order

    def name(self, client_id: str, venue_id: str) -> None:
        """The venue's id of ``client_id`` is known, the order itself not yet."""
        self._venue_ids[client_id] = venue_id
        if len(self._venue_ids) > self._keep:
            self._venue_ids.popitem(last=False)

    def asked(self, venue_id: str) -> Order | None:
        order = self._orders.get(venue_id)
        return order.order if order else None

    def client_id(self, venue_id: str) -> str | None:
        order = self._orders.get(venue_id)
        return order.client_id if order else None

    def venue_id(self, client_id: str) -> str:
        """Empty while unknown."""
        return self._venue_ids.get(client_id, "")

    async def wait_for(self, venue_id: str, seconds: float) -> VenueOrder | None:
        """The order as last received; None if none is received within ``seconds``."""
        if order := self._orders.get(venue_id):
            return order
        awaited = self._awaited.setdefault(venue_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(awaited)  # others may wait for it too
        except TimeoutError:
            return None
        finally:
            self._awaited.pop(venue_id, None)
