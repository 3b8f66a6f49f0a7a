"""When refusals add up to a strategy that must be stopped by the kill switch.

Every order that breaks a limit is refused anyway; this decides when the strategy is stopped. Only
an order that is absurd in itself counts: ``kill_switch_limit_multiplier`` times a limit that looks
at the order alone, or for an instrument that isn't ours. A position or total that is full is the
ordinary end of a trend, and counts for nothing. For the rate, intervals count in which the throttle
refused orders, not the orders: a burst is one interval, a runaway strategy is many. (RTS 6 art.
15(3): disabled until a named person enables it again.)
"""

from __future__ import annotations

from decimal import Decimal

from tradepulse_runner.errors import RiskRejected

#: Limits of one order, whatever else is open.
_OF_THE_ORDER = frozenset({"max_order_quantity", "max_order_notional", "price_collar"})


class Violations:
    """Counts refusals. A threshold of 0 never trips. ``interval``: of the throttle, seconds."""

    def __init__(
        self, *, multiplier: Decimal, orders: int, intervals: int, interval: float
    ) -> None:
        self._multiplier, self._orders_allowed = multiplier, orders
        self._intervals_allowed, self._interval = intervals, interval
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._orders = self._intervals = 0
        self._last_interval = -1

    def passed(self) -> None:
        """An order passed every check and is sent: absurd orders in a row begin again."""
        self._orders = 0

    def refused(self, refusal: RiskRejected, now: float) -> str:
        """Count a refusal. Returns why the kill switch must be engaged, or ""."""
        why = ""
        if self._is_absurd(refusal):
            self._orders += 1
            if self._orders == self._orders_allowed:
                why = f"{self._orders} absurd orders in a row, the last: {refusal.rule}: {refusal}"
        elif refusal.rule == "max_orders_per_interval":
            self._note_interval(int(now // self._interval))
            if self._intervals == self._intervals_allowed:
                why = f"too many orders in {self._intervals} intervals in a row: {refusal}"
        if why:
            self.reset()
        return why

    def _is_absurd(self, refusal: RiskRejected) -> bool:
        if refusal.rule == "symbol":
            return True
        return refusal.rule in _OF_THE_ORDER and refusal.times >= self._multiplier

    def _note_interval(self, number: int) -> None:
        if number == self._last_interval:
            return
        follows = number == self._last_interval + 1
        self._intervals = self._intervals + 1 if follows else 1
        self._last_interval = number
