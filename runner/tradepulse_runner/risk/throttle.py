"""Limits on the number of messages sent, and on identical orders.

RTS 6 art. 15(1)(d) limits messages of every kind, cancels too, but a cancel lowers risk: it must
not wait because orders used the allowance up. So orders and cancels each have their own, of the
same size. What a halt, a shutdown or the kill switch cancels (art. 12: "immediately") is never
throttled and doesn't come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from tradepulse_runner.domain import Order
from tradepulse_runner.errors import RiskRejected


class Window:
    """At most ``most`` events in any ``seconds``. Times are unix seconds, given by the caller."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._times: deque[float] = deque()

    def count(self, now: float) -> int:
        """Events in the window that ends now."""
        if self._times and self._times[-1] > now:
            # The clock was set back. Later events count as of now: else they'd count for hours.
            self._times = deque(min(at, now) for at in self._times)
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        return len(self._times)

    def full(self, now: float) -> bool:
        return self.count(now) >= self.most

    def add(self, now: float) -> None:
        self._times.append(now)


class Throttle:
    """Orders and cancels, ``most`` of each in any ``seconds``."""

    def __init__(self, most: int, seconds: float) -> None:
        self._orders, self._cancels = Window(most, seconds), Window(most, seconds)

    def check_order(self, now: float) -> None:
        """Raise :class:`RiskRejected` when the allowance is used up."""
        _check(self._orders, now, "max_orders_per_interval", "orders")

    def add_order(self, now: float) -> None:
        self._orders.add(now)

    def cancel(self, now: float) -> None:
        """Count a cancel; raise :class:`RiskRejected` when the allowance is used up."""
        _check(self._cancels, now, "max_cancels_per_interval", "cancels")
        self._cancels.add(now)


def _check(window: Window, now: float, rule: str, what: str) -> None:
    if window.full(now):
        raise RiskRejected(rule, f"{window.count(now)} {what} in {window.seconds} s")


class Duplicates:
    """At most ``most`` identical orders (venue, symbol, side, type, quantity, price) in any
    ``seconds``; without a window nothing is refused (SEC 15c3-5(c)(1)(ii))."""

    def __init__(self, most: int | None, seconds: float | None) -> None:
        self._most, self._seconds = most or 0, seconds or 0.0
        self._seen: dict[Hashable, Window] = {}

    def check(self, venue: str, order: Order, now: float) -> None:
        """Raise :class:`RiskRejected` when as many identical orders were sent."""
        window = self._seen.get(_content(venue, order))
        if window is not None and window.full(now):
            raise RiskRejected(
                "max_duplicates",
                f"{window.count(now)} orders like {order.side} {order.quantity} {order.symbol} at"
                f" {order.price or 'market'} in {window.seconds} s",
            )

    def add(self, venue: str, order: Order, now: float) -> None:
        """Count ``order``, which is about to be sent."""
        if not self._most:
            return
        self._seen = {key: window for key, window in self._seen.items() if window.count(now)}
        new = Window(self._most, self._seconds)
        self._seen.setdefault(_content(venue, order), new).add(now)


def _content(venue: str, order: Order) -> Hashable:
    return (venue, order.symbol, order.side, order.type, order.quantity, order.price)
