"""Requests a second: reads have a share, orders and cancels go at once, a 429 is waited out.

Coinbase counts requests by user and second and answers 429 above the limit
(docs.cdp.coinbase.com, Advanced Trade, "REST API Rate Limits": 30 private ones a second).
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_runner.venues.pace import Share, Silence

PER_SECOND = 30
#: Of the limit, what reads may use in the long run, and so many at once on top: two thirds of any
#: second at most, the rest is for orders and cancels (of which fifty go in one request).
READ_SHARE = 0.5
BURST = 5


class Limits:
    """The request budget of one venue. ``monotonic`` gives seconds."""

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        rate = PER_SECOND * READ_SHARE
        self.silence = Silence(name, monotonic)
        self._reads = Share(name, rate, BURST / rate, monotonic)

    async def admit(self, *, urgent: bool) -> None:
        """Wait until a request may leave; an ``urgent`` one doesn't wait. Raises
        :class:`VenueThrottled`."""
        self.silence.require_over()
        if not urgent:
            await self._reads.take()
            self.silence.require_over()
