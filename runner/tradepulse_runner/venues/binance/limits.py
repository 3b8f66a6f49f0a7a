"""Request weight: reads pace themselves, orders don't, and a ban is waited out.

Binance counts weight per IP address and minute, reports it in ``X-MBX-USED-WEIGHT-1M``, answers 429
above the limit and 418 to those who go on (``rest-api.md``, "IP Limits").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tradepulse_runner.errors import VenueThrottled
from tradepulse_runner.venues.pace import Share, Silence

DEFAULT_LIMIT = 6000
#: Of the limit, what reads may use; the rest is for orders and cancels.
READ_SHARE = 0.8
#: Seconds' worth of weight that reads may use at once.
BURST = 5.0
_USED = "X-MBX-USED-WEIGHT-1M"


class Limits:
    """The weight budget of one venue. ``monotonic`` and ``server_now`` give seconds."""

    def __init__(
        self, name: str, monotonic: Callable[[], float], server_now: Callable[[], float]
    ) -> None:
        self._name, self._server_now = name, server_now
        self.used = 0
        self._minute = -1
        self.silence = Silence(name, monotonic)
        self._reads = Share(name, 0.0, BURST, monotonic)
        self.limit = DEFAULT_LIMIT

    @property
    def limit(self) -> int:
        """Weight per minute."""
        return self._limit

    @limit.setter
    def limit(self, weight: int) -> None:
        self._limit, self._reads.rate = weight, weight * READ_SHARE / 60

    async def admit(self, weight: int) -> None:
        """Wait until a read of ``weight`` may leave. Raises :class:`VenueThrottled`."""
        self.silence.require_over()
        self._yield_to_orders(weight)
        await self._reads.take(weight)
        self.silence.require_over()

    def note(self, headers: Mapping[str, str]) -> None:
        """Read from an answer how much of this minute's weight is used."""
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
