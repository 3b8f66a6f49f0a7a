"""How long ago a request was sent, by a clock that never jumps.

"Not found" proves that a venue never accepted a request only when it can no longer accept it. The
wall clock can't measure that: set an hour ahead it proves what isn't so, set back it proves nothing
for an hour. A request of an earlier process is at least as old as this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container

Monotonic = Callable[[], float]


class SendTimes:
    """When one venue's requests were sent. ``clock`` gives seconds and only rises."""

    def __init__(self, *, clock: Monotonic = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._sent_at: dict[str, float] = {}

    def note(self, client_id: str) -> None:
        """Record that the request may have been sent as late as now."""
        self._sent_at[client_id] = self._clock()

    def keep(self, live: Container[str]) -> None:
        """Drop every order that isn't ``live``."""
        for client_id in [each for each in self._sent_at if each not in live]:
            del self._sent_at[client_id]

    def age(self, client_id: str) -> float:
        """Seconds since the request was sent, at least."""
        return self._clock() - self._sent_at.get(client_id, self._began)
