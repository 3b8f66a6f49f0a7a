"""Rate limits: a refusal for too many requests is waited out, reads pace themselves.

Every venue counts requests. Reads must leave room for what can't wait: orders, cancels, and the
requests that settle them. So reads have a share of the allowance; the others wait only for the end
of a pause that the venue asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tradepulse_runner.errors import VenueThrottled

#: Rather than wait longer than this, a read gives up: its caller has a timeout of its own.
MAX_WAIT = 4.0


class Silence:
    """The time for which a venue wants no requests. ``monotonic`` gives seconds."""

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self._name, self._monotonic = name, monotonic
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds; 0 when the venue may be asked."""
        return max(0.0, self._until - self._monotonic())

    def require_over(self) -> None:
        """Raise :class:`VenueThrottled` while it lasts."""
        if left := self.left:
            raise VenueThrottled(f"{self._name}: throttled, silent for {left:.1f} s more", left)

    def keep(self, seconds: float) -> None:
        """The venue refused for too many requests: send nothing for ``seconds``."""
        self._until = max(self._until, self._monotonic() + seconds)


class Share:
    """What reads may use: ``rate`` a second, and ``burst`` seconds' worth of it at once."""

    def __init__(
        self, name: str, rate: float, burst: float, monotonic: Callable[[], float]
    ) -> None:
        self._name, self._monotonic = name, monotonic
        self.rate, self._burst = rate, burst
        self._free_at = monotonic() - burst

    async def take(self, cost: float = 1) -> None:
        """Wait until a read of ``cost`` may leave. Raises :class:`VenueThrottled`."""
        now = self._monotonic()
        free_at = max(self._free_at, now - self._burst) + cost / self.rate
        wait = free_at - now
        if wait > MAX_WAIT:
            raise VenueThrottled(f"{self._name}: reads use up their share of the requests", wait)
        self._free_at = free_at
        if wait > 0:
            await asyncio.sleep(wait)
