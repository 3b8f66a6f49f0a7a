"""Applies the events of a venue's streams to the order book as they arrive.

Streams repeat, reorder and drop events, so an event is only an early hint: polling brings the same
data, and each fill is booked once, whichever comes first. An event that isn't simply the next step
of a known order is left to the poll, which reads the complete state.
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_runner.domain import OrderStatus, StreamLost, Trade, VenueEvent, VenueOrder
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.oms.book import Oms

UNANSWERED = (OrderStatus.PENDING, OrderStatus.UNKNOWN)


class UserStreamHandler:
    """Applies one venue's events. ``request_poll`` requests an early poll of the venue; ``lost`` is
    called with the reason when the stream is lost."""

    def __init__(
        self,
        oms: Oms,
        *,
        request_poll: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._oms, self._request_poll, self._lost = oms, request_poll, lost

    def on_event(self, event: VenueEvent) -> None:
        """A :data:`~tradepulse_runner.venues.base.Listener`.

        A failed write is left to the poll, whose next record fails, too. Raised from here it would
        end the connection, over which resting orders are about to be cancelled.
        """
        if isinstance(event, StreamLost):
            self._lost(event.reason)
            return
        try:
            self._apply(event)
        except DurabilityLost:
            self._request_poll()

    def _apply(self, event: VenueOrder | Trade) -> None:
        if event.client_id not in self._oms.state.orders:
            # a foreign order, or one of ours that is missing in a restored book
            self._request_poll()
        elif isinstance(event, Trade):
            self._oms.book_early(event)
        else:
            self._apply_order(event)

    def _apply_order(self, event: VenueOrder) -> None:
        known = self._oms.state.orders[event.client_id]
        if known.order.body_hash() != event.order.body_hash():
            # the poll compares again, and engages the kill switch for a mismatch
            self._request_poll()
            return
        if event.status.terminal:
            self._oms.closed(event)
        elif known.status in UNANSWERED:
            self._oms.acknowledged(event)
        if event.filled > known.filled:
            # the stream brings totals only: the trades themselves must be read
            self._request_poll()
