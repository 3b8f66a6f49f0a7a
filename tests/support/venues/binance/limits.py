"""Request weight per minute and address, orders per ten seconds and day, and bans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.support.venues.binance.errors import ApiError, throttled

_ORDER_WINDOWS = {"10S": 10, "1D": 86400}
_PATIENCE = 10  # requests after a 429, in the same minute, before the address is banned
_BAN = 120  # seconds


class Limits:
    """All clients here share one address. Counted by aligned windows, as Binance does."""

    def __init__(
        self, clock: Callable[[], float], *, weight: int = 6000, orders: int = 100
    ) -> None:
        self._clock = clock
        self.weight = weight
        self.orders = {"10S": orders, "1D": 200000}
        self._used: dict[int, int] = defaultdict(int)
        self._placed: dict[tuple[str, str, int], int] = defaultdict(int)
        self._refused: dict[int, int] = defaultdict(int)
        self._banned_until = 0.0

    def charge(self, weight: int) -> None:
        """Raises :class:`ApiError` once a minute's weight is used up."""
        now = self._clock()
        if now < self._banned_until:
            raise throttled(self._banned_until - now, ban=True)
        minute = int(now // 60)
        self._used[minute] += weight
        if self._used[minute] <= self.weight:
            return
        self._refused[minute] += 1
        if self._refused[minute] > _PATIENCE:
            self._banned_until = now + _BAN
            raise throttled(_BAN, ban=True)
        raise throttled(60 - now % 60)

    def used(self) -> int:
        return self._used[int(self._clock() // 60)]

    def charge_order(self, account: str) -> None:
        """Raises :class:`ApiError`, without Retry-After, as documented."""
        for name, window in self._windows():
            if self._placed[account, name, window] >= self.orders[name]:
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {self.orders[name]} orders per {name}.",
                    status=429,
                )
        for name, window in self._windows():
            self._placed[account, name, window] += 1

    def order_counts(self, account: str) -> dict[str, int]:
        return {name: self._placed[account, name, window] for name, window in self._windows()}

    def _windows(self) -> list[tuple[str, int]]:
        now = self._clock()
        return [(name, int(now // seconds)) for name, seconds in _ORDER_WINDOWS.items()]

    def describe(self) -> list[dict[str, Any]]:
        """As exchangeInfo tells them."""
        return [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight),
            _limit("ORDERS", "SECOND", 10, self.orders["10S"]),
            _limit("ORDERS", "DAY", 1, self.orders["1D"]),
        ]

    def usage(self, account: str | None) -> list[dict[str, Any]]:
        """As a WebSocket API answer tells them: an order's answer tells of orders too."""
        weight, *orders = self.describe()
        told = [{**weight, "count": self.used()}]
        if account is not None:
            counts = self.order_counts(account).values()
            told = [
                {**limit, "count": count} for limit, count in zip(orders, counts, strict=True)
            ] + told
        return told


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
