"""The last check before the venue: every limit, on every order, without exception.

The check is pure: it sees the order, the worst-case exposure (position plus everything queued,
in flight, unknown or resting) and a reference price. It raises :class:`RiskRejected` with the
broken rule's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tradepulse_runner.config.runner import RiskConfig
from tradepulse_runner.domain import ZERO, Instrument, Order, Quote, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms.state import Exposure
from tradepulse_runner.risk.filters import check_short, check_steps, check_value
from tradepulse_runner.risk.reducing import reduces
from tradepulse_runner.risk.throttle import Duplicates, Throttle
from tradepulse_runner.risk.violations import Violations

# A reference older than this cannot bound a price; without a bound no order may be sent.
MAX_QUOTE_AGE = 10.0

# Label values of tradepulse_risk_validations_total{outcome}; all exist from the first scrape.
OUTCOMES = (
    "passed",
    "not_trading",
    "venue_throttled",
    "symbol",
    "instrument",
    "tick_size",
    "lot_size",
    "min_quantity",
    "min_notional",
    "reference_price",
    "price_collar",
    "max_order_quantity",
    "max_order_notional",
    "reduce_only",
    "short_sale",
    "max_position",
    "max_notional",
    "max_orders_per_interval",
    "max_cancels_per_interval",
    "max_duplicates",
)
NOTHING = Exposure(ZERO, ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits; units and defaults as in :class:`tradepulse_runner.config.runner.RiskConfig`."""

    max_position: Decimal
    max_notional: Decimal
    max_order_notional: Decimal
    max_orders_per_interval: int
    interval_seconds: float
    max_daily_loss: Decimal
    price_collar: Decimal
    max_order_quantity: Decimal | None = None
    soft_daily_loss: Decimal | None = None
    duplicate_window: float | None = None
    max_duplicates: int | None = None
    kill_switch_limit_multiplier: Decimal = Decimal("1.5")
    kill_switch_violation_threshold: int = 3
    kill_switch_rate_limit_threshold: int = 10

    @classmethod
    def from_config(cls, config: RiskConfig) -> RiskLimits:
        return cls(**config.model_dump())


@dataclass(frozen=True, slots=True)
class RiskView:
    """What a decision is made on. ``exposures`` covers all symbols of all venues traded,
    the candidate order excluded; ``marks`` their mid prices; ``instrument`` is the order's own,
    None while the venue has not described it; ``reducing``: only reducing orders pass."""

    quote: Quote | None
    exposures: Mapping[tuple[str, str], Exposure]
    marks: Mapping[tuple[str, str], Decimal]
    symbols: frozenset[str]
    instrument: Instrument | None
    reducing: bool = False


class RiskManager:
    """Applies :class:`RiskLimits`. ``clock`` gives unix seconds; recent orders and refusals
    are its only state."""

    def __init__(self, limits: RiskLimits, *, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._throttle = Throttle(limits.max_orders_per_interval, limits.interval_seconds)
        self._duplicates = Duplicates(limits.max_duplicates, limits.duplicate_window)
        self._violations = Violations(
            multiplier=limits.kill_switch_limit_multiplier,
            orders=limits.kill_switch_violation_threshold,
            intervals=limits.kill_switch_rate_limit_threshold,
            interval=limits.interval_seconds,
        )

    def validate(self, venue: str, order: Order, view: RiskView) -> None:
        """Raise :class:`RiskRejected` if ``order`` breaks a limit; nothing is counted yet."""
        if order.symbol not in view.symbols:
            raise RiskRejected("symbol", f"{order.symbol} is not configured at {venue}")
        check_steps(order, view.instrument)
        assert view.instrument is not None  # check_steps refused
        price = self._price(order, view.quote)
        self._check_size(order, price)
        check_value(order, price, view.instrument)
        exposure = view.exposures.get((venue, order.symbol), NOTHING)
        only_reduces = reduces(order, exposure)
        if view.reducing and not only_reduces:
            raise RiskRejected(
                "reduce_only", f"{order.side} {order.quantity} could raise {exposure.position}"
            )
        check_short(order, exposure, view.instrument)
        self._check_position(order, exposure)
        # A reducing order adds no exposure, and must pass even when another position has no price.
        if not only_reduces:
            self._check_gross(venue, order, price, view)

    def admit(self, venue: str, order: Order) -> None:
        """Count one order about to be sent. Raises :class:`RiskRejected` if the interval's
        allowance is used up, or if too many of the same were sent."""
        now = self._clock()
        self._throttle.check_order(now)
        self._duplicates.check(venue, order, now)
        self._throttle.add_order(now)
        self._duplicates.add(venue, order, now)
        self._violations.passed()

    def admit_cancel(self) -> None:
        """Count a cancel that a strategy or a person asks for. Raises :class:`RiskRejected` if
        there were too many."""
        self._throttle.cancel(self._clock())

    def refused(self, refusal: RiskRejected) -> str:
        """Count a refusal. Returns why the kill switch must be engaged, or ""."""
        return self._violations.refused(refusal, self._clock())

    def _check_size(self, order: Order, price: Decimal) -> None:
        notional, most = order.quantity * price, self.limits.max_order_quantity
        if most is not None and order.quantity > most:
            raise RiskRejected(
                "max_order_quantity",
                f"{order.quantity} exceeds {most}",
                times=order.quantity / most,
            )
        if notional > self.limits.max_order_notional:
            raise RiskRejected(
                "max_order_notional",
                f"{notional} exceeds {self.limits.max_order_notional}",
                times=notional / self.limits.max_order_notional,
            )

    def _price(self, order: Order, quote: Quote | None) -> Decimal:
        """Worst price the order can trade at; raises without a fresh reference."""
        if quote is None or self._clock() - quote.timestamp > MAX_QUOTE_AGE:
            raise RiskRejected("reference_price", f"no fresh quote for {order.symbol}")
        touch = quote.ask if order.side is Side.BUY else quote.bid
        price, mid = touch if order.price is None else order.price, quote.mid
        away, most = abs(price - mid), self.limits.price_collar * mid
        if away > most:
            # A market order into a book as wide as that is not the strategy's mistake.
            times = away / most if order.price is not None else ZERO
            text = f"{price} is beyond {self.limits.price_collar} of {mid}"
            raise RiskRejected("price_collar", text, times=times)
        # A sell below the market trades at the market: the larger value is the worst case.
        return price if order.side is Side.BUY else max(price, quote.bid)

    def _check_position(self, order: Order, exposure: Exposure) -> None:
        if order.side is Side.BUY:
            worst = exposure.position + exposure.buying + order.quantity
        else:
            worst = -(exposure.position - exposure.selling - order.quantity)
        if worst > self.limits.max_position:
            raise RiskRejected(
                "max_position", f"{order.symbol} could reach {worst} of {self.limits.max_position}"
            )

    def _check_gross(self, venue: str, order: Order, price: Decimal, view: RiskView) -> None:
        gross = before = ZERO
        for key, exposure in view.exposures.items():
            buying, selling, mark = exposure.buying, exposure.selling, view.marks.get(key)
            if key == (venue, order.symbol):
                mark = max(mark or ZERO, price)
                buying += order.quantity if order.side is Side.BUY else ZERO
                selling += order.quantity if order.side is Side.SELL else ZERO
            worst = max(abs(exposure.position + buying), abs(exposure.position - selling))
            now = max(
                abs(exposure.position + exposure.buying), abs(exposure.position - exposure.selling)
            )
            if worst and mark is None:
                raise RiskRejected("reference_price", f"no price for the position in {key}")
            gross += worst * (mark or ZERO)
            before += now * (mark or ZERO)
        # What does not add to it may pass: a position that rose above the limit can be reduced.
        if gross > max(self.limits.max_notional, before):
            raise RiskRejected(
                "max_notional", f"gross could reach {gross} of {self.limits.max_notional}"
            )
