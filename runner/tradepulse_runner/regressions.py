"""Deliberate defects for demonstrations: what a bad release looks like.

A demonstration image is this same runner with other build-time metadata (``regression`` in the
release file). Each defect sits in the order path, shows only under load after some orders, and
announces itself nowhere: the operator can judge it by its effects alone. Normal releases have
``regression: null`` and this module is never in their order path.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tradepulse_runner.domain import Order, VenueOrder
from tradepulse_runner.errors import OrderRejected
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.forwarding import Forwarding

# Orders before the defect shows: past any smoke test, well inside a demonstration.
DEFAULT_AFTER = 60
PAGE = 4
PAGE_ROUND_TRIP = 0.025
# Pages that take half a second.
SLOW_PAGES = 20


class _Spoiled(Forwarding):
    """``after``: orders that are passed on unharmed."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner)
        self._after = after
        self._placed = 0


class ReusedNonce(_Spoiled):
    """ "errors": a nonce kept in a cache is reused once the cache warms up, and the venue refuses
    every request whose nonce does not rise: two of three."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner, after)
        self._highest = -1

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._placed += 1
        cold = self._placed <= self._after
        nonce = self._placed * 3 if cold else self._placed // 3 * 3 + self._after * 3
        if nonce <= self._highest:
            raise OrderRejected(f"nonce {nonce} was used before")
        self._highest = nonce
        return await self.inner.place_order(order, idempotency_key)


class HistoryScan(_Spoiled):
    """ "latency": before each order, the whole order history is paged through to look for a
    duplicate. The history only grows, so latency grows with every order; after ``after`` orders
    it has passed half a second."""

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        self._placed += 1
        for _page in range((self._placed - self._after) // PAGE + SLOW_PAGES):
            await asyncio.sleep(PAGE_ROUND_TRIP)
        return await self.inner.place_order(order, idempotency_key)


class SelfDeadlock(_Spoiled):
    """ "freeze": the order path takes a lock that it already holds, on a branch only a long
    session reaches. The event loop stops for ever: no metrics, no probes, no SIGTERM."""

    def __init__(self, inner: ExecutionConnector, after: int) -> None:
        super().__init__(inner, after)
        self._session = threading.Lock()

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        with self._session:
            self._placed += 1
            if self._placed > self._after:
                self._renew_session()
        return await self.inner.place_order(order, idempotency_key)

    def _renew_session(self) -> None:
        with self._session:
            self._placed = 0


_KINDS: dict[str, Callable[[ExecutionConnector, int], ExecutionConnector]] = {
    "errors": ReusedNonce,
    "latency": HistoryScan,
    "freeze": SelfDeadlock,
}
KINDS = tuple(_KINDS)


def wrap(
    connector: ExecutionConnector, regression: str | None, after: int | None = None
) -> ExecutionConnector:
    """``connector`` with the defect ``regression``, or itself. KeyError for an unknown one."""
    if regression is None:
        return connector
    return _KINDS[regression](connector, DEFAULT_AFTER if after is None else after)
