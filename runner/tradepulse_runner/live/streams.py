"""What a venue's streams say, applied to the book as soon as it is heard.

Streams repeat, reorder and drop, so an event is a hint that came early: everything here may also
be learnt by polling, and is booked once whichever way it comes first. What isn't simply the next
step of an order that we know is left to the poll, which sees the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_runner.domain import OrderStatus, StreamLost, Trade, VenueEvent, VenueOrder
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.oms.book import Oms

UNANSWERED = (OrderStatus.PENDING, OrderStatus.UNKNOWN)


class UserStreamHandler:
    """Applies one venue's events. ``ask`` has the venue polled soon; ``lost`` is told why the
    stream can't be relied on."""

    def __init__(
        self,
        oms: Oms,
        *,
        ask: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._oms, self._ask, self._lost = oms, ask, lost

    def on_event(self, event: VenueEvent) -> None:
        """A :data:`~tradepulse_runner.venues.base.Listener`.

        A lost disk is left to the poll, whose next record meets it, too. Raised from here it would
        end the connection, over which what rests is about to be cancelled.
        """
        if isinstance(event, StreamLost):
            self._lost(event.reason)
            return
        try:
            self._note(event)
        except DurabilityLost:
            self._ask()

    def _note(self, event: VenueOrder | Trade) -> None:
        if event.client_id not in self._oms.state.orders:
            self._ask()  # another's, or one of ours that a restored book doesn't know
        elif isinstance(event, Trade):
            self._oms.book_early(event)
        else:
            self._order(event)

    def _order(self, event: VenueOrder) -> None:
        known = self._oms.state.orders[event.client_id]
        if known.order.body_hash() != event.order.body_hash():
            self._ask()  # the poll compares again, and says loudly what it finds
            return
        if event.status.terminal:
            self._oms.closed(event)
        elif known.status in UNANSWERED:
            self._oms.acknowledged(event)
        if event.filled > known.filled:
            self._ask()  # of a stream that tells sums: the trades themselves must be read
