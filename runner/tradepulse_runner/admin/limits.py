"""A sliding-window rate limit by name, on a monotonic clock.

Memory is bounded: beyond ``capacity`` active names, all further ones share one limit. So using many
names gains nothing, and the tracked names keep their own limits.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable

#: Changes, and failed authentications, per ``WINDOW`` seconds.
ATTEMPTS, WINDOW = 5, 60.0
#: Reads per ``WINDOW`` seconds: each uses the trading loop's thread, and leaves an audit record.
READS = 120
_OVERFLOW = ""


class RateLimiter:
    """``limit`` attempts in ``window`` seconds; ``timer`` gives monotonic seconds."""

    def __init__(
        self,
        timer: Callable[[], float],
        *,
        limit: int = ATTEMPTS,
        window: float = WINDOW,
        capacity: int = 1024,
    ) -> None:
        self._timer, self._limit, self._window = timer, limit, window
        self._capacity = capacity
        self._by_name: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_name)

    def retry_after(self, name: str) -> int:
        """Count an attempt of ``name``: 0 when it is allowed, else the seconds (1 or more) until
        the next one is. A refused attempt doesn't count, so that waiting always helps."""
        now = self._timer()
        times = self._of(name, now)
        while times and times[0] <= now - self._window:
            times.popleft()
        if len(times) < self._limit:
            times.append(now)
            return 0
        return max(1, math.ceil(times[0] + self._window - now))

    def _of(self, name: str, now: float) -> deque[float]:
        if name not in self._by_name:
            self._forget(now)
            if len(self._by_name) >= self._capacity:
                name = _OVERFLOW  # one more entry, at most
        times = self._by_name.setdefault(name, deque(maxlen=self._limit))
        self._by_name.move_to_end(name)
        return times

    def _forget(self, now: float) -> None:
        """Remove names whose attempts have expired; least recently used first."""
        while self._by_name:
            name, times = next(iter(self._by_name.items()))
            if times and times[-1] > now - self._window:
                return
            del self._by_name[name]
