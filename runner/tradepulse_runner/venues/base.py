"""The interface of a venue, as the loop uses it.

Errors express how certain the outcome is: :class:`OrderRejected` (refused: does not exist),
:class:`OrderNotFound`, :class:`OutcomeUnknown` (may exist), :class:`VenueDisconnected`.
Anything else a connector raises is treated as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueEvent,
    VenueOrder,
)

Listener = Callable[[VenueEvent], None]
#: Returns why nothing may be sent at this moment; "" while it may.
Permit = Callable[[], str]


def always() -> str:
    """The permit of a process without a writer lease: its state directory is locked."""
    return ""


class ExecutionConnector(Protocol):
    """One venue. All methods belong to the loop's event loop."""

    name: str
    symbols: frozenset[str]  # what may be traded here

    @property
    def outcome_horizon(self) -> float:
        """Seconds after sending beyond which "not found" proves that the venue never accepted the
        request and no longer can (Binance: recvWindow + clock skew + margin)."""

    @property
    def streaming(self) -> bool:
        """Whether the listener gets fills and closings: then polling is the check, not the
        source."""

    @property
    def banned_for(self) -> float:
        """Seconds for which the venue takes no request because there were too many; else 0."""

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every event of the venue's streams; set before :meth:`connect`.

        Streams may repeat, reorder and drop: their events are hints that arrive early, and
        polling is what proves completeness. The end of a stream is the event :class:`StreamLost`.
        """

    async def connect(self) -> None:
        """Open the connection and streams unless open. Raises :class:`VenueDisconnected`,
        :class:`CredentialsRefused`."""

    async def disconnect(self) -> None:
        """Close it; never raises for a connection already gone."""

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        """Send ``order`` under the client id ``idempotency_key``."""

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        """Cancel; returns the closed order. A closed order is returned as it closed."""

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        """The venue's view of one order, open or closed. Raises :class:`OrderNotFound`."""

    async def open_orders(self) -> list[VenueOrder]:
        """All orders resting at the venue for this account."""

    async def get_positions(self) -> Positions:
        """Signed base quantities by symbol; a missing symbol is zero."""

    async def trades_since(self, cursor: str | None) -> TradePage:
        """Own trades after ``cursor``, oldest first; None: only the newest cursor, no trades."""

    def quote(self, symbol: str) -> Quote | None:
        """Latest best bid and ask; None when none is known."""

    def instrument(self, symbol: str) -> Instrument:
        """Price and quantity steps."""
