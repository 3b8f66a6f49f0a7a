"""Orders, trades, quotes: the values that travel between strategy, OMS and venue.

Money and quantities are :class:`~decimal.Decimal`; times are unix seconds as float.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)
Positions = Mapping[str, Decimal]  # symbol -> signed base quantity


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"


class OrderStatus(StrEnum):
    """QUEUED: accepted by risk, not sent. PENDING: intent on disk, answer awaited.
    UNKNOWN: may or may not exist at the venue. EXPIRED: proven never to have been accepted,
    or never sent. The rest are the venue's own words."""

    QUEUED = "queued"
    PENDING = "pending"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def working(self) -> bool:
        """Known to rest at the venue."""
        return self in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a strategy wants. ``price`` is required for limit orders and absent for market ones.

    ``algo`` names the deciding algorithm: every order must be attributable (RTS 6 art. 12(3)).
    """

    symbol: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    algo: str = "manual"

    def __post_init__(self) -> None:
        if not self.quantity.is_finite() or self.quantity <= 0:
            raise ValueError(f"quantity must be positive, got {self.quantity}")
        if (self.price is None) != (self.type is OrderType.MARKET):
            raise ValueError("a limit order needs a price, a market order must not have one")
        if self.price is not None and (not self.price.is_finite() or self.price <= 0):
            raise ValueError(f"price must be positive, got {self.price}")

    def body_hash(self) -> str:
        """Identity of the economic content, compared with what a venue returns for an id."""
        price = "" if self.price is None else format(self.price.normalize(), "f")
        quantity = format(self.quantity.normalize(), "f")
        text = f"{self.symbol}|{self.side}|{quantity}|{self.type}|{price}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Identifies one of our orders in a query to a venue. Venues find orders by
    different keys: by symbol and client id, or only by their own id, which is "" while unknown.

    ``sent_at``: unix seconds, bounds a search through the venue's order history.
    """

    client_id: str
    symbol: str
    venue_id: str = ""
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """A venue's view of one order."""

    client_id: str
    venue_id: str
    order: Order
    status: OrderStatus
    filled: Decimal

    @property
    def ref(self) -> OrderRef:
        return OrderRef(self.client_id, self.order.symbol, self.venue_id)


@dataclass(frozen=True, slots=True)
class Trade:
    """One execution of one of our orders; ``trade_id`` is unique per venue.

    ``fee`` was taken from the position of ``fee_symbol`` (base units), or, when that is "", from
    the cash of ``symbol``'s quote currency. A fee in an asset we don't trade is 0 here.
    """

    trade_id: str
    client_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    timestamp: float
    fee: Decimal = ZERO
    fee_symbol: str = ""


@dataclass(frozen=True, slots=True)
class TradePage:
    """Trades after a cursor, oldest first, and the cursor to continue from."""

    trades: tuple[Trade, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask at ``timestamp``, unix seconds."""

    bid: Decimal
    ask: Decimal
    timestamp: float

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the venue accepts of one symbol: price and quantity steps, smallest quantity (base
    units) and notional (quote units). Spot is not ``shortable``: only an existing position can be
    sold."""

    tick: Decimal
    lot: Decimal
    min_quantity: Decimal = ZERO
    min_notional: Decimal = ZERO
    shortable: bool = True


@dataclass(frozen=True, slots=True)
class StreamLost:
    """A venue's stream ended or skipped something: only a query shows what happened since."""

    reason: str


VenueEvent = VenueOrder | Trade | StreamLost
