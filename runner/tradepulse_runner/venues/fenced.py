"""A connector that lets an order or a cancel pass only while this process may write.

The last check before the connector: whatever took its time on the way here (a queue, a sync to
disk, a process that was stopped and continued) is measured at this moment. A connector whose own
way to the wire takes time asks the same ``permit`` again, after it has signed the request.
"""

from __future__ import annotations

from tradepulse_runner.domain import Order, OrderRef, VenueOrder
from tradepulse_runner.errors import OrderRejected
from tradepulse_runner.venues.base import ExecutionConnector, Permit
from tradepulse_runner.venues.forwarding import Forwarding


class Fenced(Forwarding):
    """Passes everything on to ``inner``; orders and cancels only with ``permit``."""

    def __init__(self, inner: ExecutionConnector, permit: Permit) -> None:
        super().__init__(inner)
        self._permit = permit

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._require_permit()
        return await self.inner.place_order(order, idempotency_key)

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        self._require_permit()
        return await self.inner.cancel_order(ref)

    def _require_permit(self) -> None:
        """Refused here, so it was certainly not sent."""
        if why := self._permit():
            raise OrderRejected(f"{self.name}: not sent: {why}")
