"""Requests a second: 30 for a user's private endpoints, 10 for an address's public ones
(docs.cdp.coinbase.com, Advanced Trade REST rate limits)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PRIVATE_RATE = 30
PUBLIC_RATE = 10


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request found: whether it may pass, and the headers that say how much is left."""

    passes: bool
    headers: dict[str, str]


class RateLimit:
    """Counts requests in windows of a second; None lets everything pass."""

    def __init__(self, per_second: int | None, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._windows: dict[str, tuple[int, int]] = {}  # who -> (second, requests in it)

    def take(self, who: str) -> Taken:
        if self._per_second is None:
            return Taken(True, {})
        second = int(self._clock())
        began, used = self._windows.get(who, (second, 0))
        used = used + 1 if began == second else 1
        self._windows[who] = (second, used)
        return Taken(
            used <= self._per_second,
            {
                "x-ratelimit-limit": str(self._per_second),
                "x-ratelimit-remaining": str(max(0, self._per_second - used)),
                "x-ratelimit-reset": "1",
            },
        )
