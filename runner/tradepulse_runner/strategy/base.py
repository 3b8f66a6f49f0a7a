"""What a strategy sees and what it may ask for. Pure: it has no connector and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from tradepulse_runner.domain import Instrument, Order, Quote


@dataclass(frozen=True, slots=True)
class MarketView:
    """One symbol of one venue at ``now`` (unix seconds). ``working``: client ids of our resting
    orders, oldest first; ``position`` in base units."""

    venue: str
    symbol: str
    now: float
    quote: Quote
    instrument: Instrument
    position: Decimal
    working: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Ask for an order; the risk manager still decides."""

    venue: str
    order: Order


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask for a cancel."""

    venue: str
    client_id: str


Action = Place | Cancel


class Strategy(Protocol):
    """Called once every ``period`` seconds with every symbol that has a quote."""

    period: float

    def act(self, views: Sequence[MarketView]) -> list[Action]:
        """The actions to take now."""


@runtime_checkable
class StatefulStrategy(Protocol):
    """A strategy whose state is recorded."""

    def state(self) -> dict[str, Any]:
        """JSON values; money as decimal strings."""
