"""The last gate before the venue: every limit, checked on every order, with no way round.

The check is pure: it sees the order, the worst-case exposure (position plus everything queued,
in flight, unknown or resting) and a reference price. It raises :class:`RiskRejected` with the
broken rule's name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tradepulse_runner.config import RiskConfig
from tradepulse_runner.domain import ZERO, Order, Quote, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms_state import Exposure

# A reference older than this cannot bound a price; trading on it is trading blind.
MAX_QUOTE_AGE = 10.0

# Label values of tradepulse_risk_validations_total{outcome}; all exist from the first scrape.
OUTCOMES = (
    "passed",
    "not_trading",
    "symbol",
    "reference_price",
    "price_collar",
    "max_order_notional",
    "max_position",
    "max_notional",
    "max_orders_per_interval",
)


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Hard limits; units as in :class:`tradepulse_runner.config.RiskConfig`."""

    max_position: Decimal
    max_notional: Decimal
    max_order_notional: Decimal
    max_orders_per_interval: int
    interval_seconds: float
    max_daily_loss: Decimal
    price_collar: Decimal

    @classmethod
    def from_config(cls, config: RiskConfig) -> RiskLimits:
        return cls(**config.model_dump())


@dataclass(frozen=True, slots=True)
class RiskView:
    """What a decision is made on. ``exposures`` covers all symbols of all venues traded,
    the candidate order excluded; ``marks`` their mid prices."""

    quote: Quote | None
    exposures: Mapping[tuple[str, str], Exposure]
    marks: Mapping[tuple[str, str], Decimal]
    symbols: frozenset[str]


class RiskManager:
    """Applies :class:`RiskLimits`. ``clock`` gives unix seconds; the throttle is its only state."""

    def __init__(self, limits: RiskLimits, *, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._sent: deque[float] = deque()

    def validate(self, venue: str, order: Order, view: RiskView) -> None:
        """Raise :class:`RiskRejected` if ``order`` breaks a limit; the throttle is not touched."""
        if order.symbol not in view.symbols:
            raise RiskRejected("symbol", f"{order.symbol} is not configured at {venue}")
        price = self._price(order, view.quote)
        notional = order.quantity * price
        if notional > self.limits.max_order_notional:
            raise RiskRejected(
                "max_order_notional", f"{notional} exceeds {self.limits.max_order_notional}"
            )
        self._check_position(venue, order, view)
        self._check_gross(venue, order, price, view)

    def throttle(self) -> None:
        """Count one message about to leave; raise if the interval's allowance is used up."""
        now = self._clock()
        while self._sent and self._sent[0] <= now - self.limits.interval_seconds:
            self._sent.popleft()
        if len(self._sent) >= self.limits.max_orders_per_interval:
            raise RiskRejected(
                "max_orders_per_interval",
                f"{len(self._sent)} orders in {self.limits.interval_seconds} s",
            )
        self._sent.append(now)

    def daily_loss_broken(self, day_start: Decimal, equity: Decimal) -> bool:
        """Whether today's loss (quote currency) has reached the breaker."""
        return day_start - equity >= self.limits.max_daily_loss

    def _price(self, order: Order, quote: Quote | None) -> Decimal:
        """Worst price the order can trade at; raises without a fresh reference."""
        if quote is None or self._clock() - quote.timestamp > MAX_QUOTE_AGE:
            raise RiskRejected("reference_price", f"no fresh quote for {order.symbol}")
        if order.price is None:
            return quote.ask if order.side is Side.BUY else quote.bid
        mid = quote.mid
        if abs(order.price - mid) > self.limits.price_collar * mid:
            raise RiskRejected(
                "price_collar", f"{order.price} is beyond {self.limits.price_collar} of {mid}"
            )
        # A sell below the market trades at the market: the larger value is the worst case.
        return order.price if order.side is Side.BUY else max(order.price, quote.bid)

    def _check_position(self, venue: str, order: Order, view: RiskView) -> None:
        held = view.exposures.get((venue, order.symbol), Exposure(ZERO, ZERO, ZERO))
        if order.side is Side.BUY:
            worst = held.position + held.buying + order.quantity
        else:
            worst = -(held.position - held.selling - order.quantity)
        if worst > self.limits.max_position:
            raise RiskRejected(
                "max_position", f"{order.symbol} could reach {worst} of {self.limits.max_position}"
            )

    def _check_gross(self, venue: str, order: Order, price: Decimal, view: RiskView) -> None:
        gross = before = ZERO
        for key, held in view.exposures.items():
            buying, selling, mark = held.buying, held.selling, view.marks.get(key)
            if key == (venue, order.symbol):
                mark = max(mark or ZERO, price)
                buying += order.quantity if order.side is Side.BUY else ZERO
                selling += order.quantity if order.side is Side.SELL else ZERO
            worst = max(abs(held.position + buying), abs(held.position - selling))
            now = max(abs(held.position + held.buying), abs(held.position - held.selling))
            if worst and mark is None:
                raise RiskRejected("reference_price", f"no price for the position in {key}")
            gross += worst * (mark or ZERO)
            before += now * (mark or ZERO)
        # What does not add to it may pass: a position that rose above the limit can be reduced.
        if gross > max(self.limits.max_notional, before):
            raise RiskRejected(
                "max_notional", f"gross could reach {gross} of {self.limits.max_notional}"
            )
