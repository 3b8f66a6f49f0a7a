"""Request weight: reads pace themselves, orders don't, and a ban is waited out in silence.

Binance counts weight per IP address and minute, tells it in ``X-MBX-USED-WEIGHT-1M``, answers 429
above the limit and 418 to those who go on (``rest-api.md``, "IP Limits").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tradepulse_runner.errors import VenueThrottled

DEFAULT_LIMIT = 6000
#: Of the limit, what reads may use; the rest is for orders and cancels.
READ_SHARE = 0.8
#: Seconds' worth of weight that reads may use at once.
BURST = 5.0
#: Rather than wait longer than this, a read gives up: its caller has a timeout of its own.
MAX_WAIT = 4.0
_USED = "X-MBX-USED-WEIGHT-1M"


class Limits:
    """The weight budget of one venue. ``monotonic`` and ``server_now`` give seconds."""

    def __init__(
        self, name: str, monotonic: Callable[[], float], server_now: Callable[[], float]
    ) -> None:
        self._name, self._monotonic, self._server_now = name, monotonic, server_now
        self.limit = DEFAULT_LIMIT
        self.used = 0
        self._minute = -1
        self._free_at = monotonic()
        self._blocked_until = 0.0

    @property
    def silent_for(self) -> float:
        """Seconds for which the venue told us to be silent; else 0."""
        return max(0.0, self._blocked_until - self._monotonic())

    def require_open(self) -> None:
        """Raise :class:`VenueThrottled` while the venue told us to be silent."""
        if left := self.silent_for:
            raise VenueThrottled(f"{self._name}: throttled, silent for {left:.1f} s more", left)

    def block(self, seconds: float) -> None:
        """The venue refused for too many requests: send nothing for ``seconds``."""
        self._blocked_until = max(self._blocked_until, self._monotonic() + seconds)

    async def admit(self, weight: int) -> None:
        """Wait until a read of ``weight`` may leave. Raises :class:`VenueThrottled`."""
        self.require_open()
        self._yield_to_orders(weight)
        now = self._monotonic()
        rate = self.limit * READ_SHARE / 60
        free_at = max(self._free_at, now - BURST) + weight / rate
        wait = free_at - now
        if wait > MAX_WAIT:
            raise VenueThrottled(f"{self._name}: reads use up their share of the weight", wait)
        self._free_at = free_at
        if wait > 0:
            await asyncio.sleep(wait)
            self.require_open()

    def note(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer how much of this minute's weight is used."""
        if (used := headers.get(_USED, "")).isdigit():
            self.used, self._minute = int(used), int(self._server_now() // 60)

    def _yield_to_orders(self, weight: int) -> None:
        """Others behind the same address may have used it: then what is left is for orders."""
        now = self._server_now()
        if int(now // 60) == self._minute and self.used + weight > self.limit * 0.9:
            raise VenueThrottled(
                f"{self._name}: {self.used} of {self.limit} weight used, the rest is for orders",
                60 - now % 60,
            )
