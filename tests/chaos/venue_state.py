"""What a venue knows, in the runner's words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradepulse_runner.domain import OrderType, Side

OPEN = ("open", "partially_filled")


@dataclass(frozen=True)
class OrderAtVenue:
    """An order as the venue has it; ``status`` in the runner's words."""

    client_id: str
    symbol: str
    side: Side
    type: OrderType
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    status: str


@dataclass(frozen=True)
class VenueState:
    """All that the venue knows. ``cash``: what trading brought and cost, in quote currency."""

    orders: tuple[OrderAtVenue, ...]
    fills: frozenset[str]
    positions: dict[str, Decimal]
    cash: Decimal

    @property
    def resting(self) -> int:
        return sum(order.status in OPEN for order in self.orders)
