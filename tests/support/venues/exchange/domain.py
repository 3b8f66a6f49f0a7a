"""The exchange's values. Money is :class:`~decimal.Decimal`; times are unix seconds as float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradepulse_runner.venues.matching import SelfTrade

ZERO = Decimal(0)


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Kind(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class Force(StrEnum):
    """How long an order lives: until cancelled; what matches now; all of it now or nothing."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    """EXPIRED: IOC, FOK and market orders' unfilled rest. EXPIRED_IN_MATCH: self-trade."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class FeeFrom(StrEnum):
    """RECEIVED: from what the trade brought (Binance). QUOTE: always in quote units, on top of a
    purchase's price (Coinbase)."""

    RECEIVED = "received"
    QUOTE = "quote"


class Reason(StrEnum):
    """Why the exchange refused; servers translate it into their protocol's codes."""

    UNKNOWN_SYMBOL = "unknown symbol"
    BAD_ORDER = "contradictory order"
    PRICE_STEP = "price is no multiple of the tick"
    PRICE_RANGE = "price is out of range"
    PRICE_BAND = "price is too far from the market"
    LOT_STEP = "quantity is no multiple of the lot"
    QUANTITY_RANGE = "quantity is out of range"
    NOTIONAL = "price times quantity is too small"
    MAX_OPEN_ORDERS = "too many open orders"
    DUPLICATE = "an open order has this client id"
    INSUFFICIENT = "insufficient balance"
    WOULD_TAKE = "a post-only order would take"
    HALTED = "the market takes no orders"
    UNKNOWN_ORDER = "unknown order"
    CLOSED_ORDER = "the order is closed already"


class Refused(Exception):
    """A request changed nothing."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Market:
    """What is traded, in which steps; ``start_price`` is where the crowd opens.

    ``band_up``/``band_down``: a limit price is refused above ``band_up`` and below ``band_down``
    times the last trade's price.
    """

    symbol: str = "BTCUSDT"
    base: str = "BTC"
    quote: str = "USDT"
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.00001")
    min_quantity: Decimal = Decimal("0.00001")
    min_notional: Decimal = Decimal(5)
    max_quantity: Decimal = Decimal(9000)
    max_price: Decimal = Decimal(1000000)
    max_open_orders: int = 200
    band_up: Decimal = Decimal(5)
    band_down: Decimal = Decimal("0.2")
    start_price: Decimal = Decimal(60000)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A request. Exactly one of ``quantity`` (base units) and ``quote_quantity`` (market orders
    only: how much to spend or to raise) is set; ``price`` is set for limit orders only."""

    symbol: str
    side: Side
    client_id: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    kind: Kind = Kind.LIMIT
    force: Force = Force.GTC
    post_only: bool = False
    quote_quantity: Decimal | None = None
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as it was when asked for. ``quantity`` is 0 while a market order by
    ``quote_quantity`` has not matched."""

    id: int
    account: str
    client_id: str
    symbol: str
    side: Side
    kind: Kind
    force: Force
    post_only: bool
    self_trade: SelfTrade
    price: Decimal | None
    quantity: Decimal
    quote_quantity: Decimal | None
    filled: Decimal
    quote_filled: Decimal
    status: Status
    created: float
    updated: float

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled


@dataclass(frozen=True, slots=True)
class Fill:
    """One account's part in a trade. ``id`` rises within a symbol, and symbols share numbers (as
    on Binance); ``sequence`` rises over the whole exchange. Both sides of a trade share both."""

    id: int
    sequence: int
    account: str
    order_id: int
    client_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time: float

    @property
    def quote_quantity(self) -> Decimal:
        return self.price * self.quantity


@dataclass(frozen=True, slots=True)
class Balance:
    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class Quote:
    """Best prices and the quantities there; None where that side of the book is empty."""

    symbol: str
    bid: Decimal | None
    bid_quantity: Decimal
    ask: Decimal | None
    ask_quantity: Decimal


class Cause(StrEnum):
    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    SELF_TRADE = "TRADE_PREVENTION"


@dataclass(frozen=True, slots=True)
class OrderChanged:
    order: OrderView
    cause: Cause
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class BalanceChanged:
    """The new balances of the assets that a request changed."""

    account: str
    balances: Mapping[str, Balance]


@dataclass(frozen=True, slots=True)
class Deposited:
    """Also a withdrawal, when ``quantity`` is negative."""

    account: str
    asset: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class BookChanged:
    """The quantity now resting at one price; 0 when the level is gone."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Traded:
    """What everybody sees of a trade."""

    symbol: str
    id: int
    price: Decimal
    quantity: Decimal
    taker: Side
    time: float


Event = OrderChanged | BalanceChanged | Deposited | BookChanged | Traded
