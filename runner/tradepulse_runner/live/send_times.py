"""How long ago a request left, by a clock that never jumps.

"Not found" proves that a venue never accepted a request only when it can no longer accept it. The
machine's clock can't tell: set an hour ahead it proves what isn't so, set back it proves nothing
for an hour. What another process sent is as old as this one at least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container

Monotonic = Callable[[], float]


class SendTimes:
    """SendTimes of one venue's requests. ``clock`` gives seconds and only rises."""

    def __init__(self, *, clock: Monotonic = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._left: dict[str, float] = {}

    def note(self, client_id: str) -> None:
        """The request may have left as late as now."""
        self._left[client_id] = self._clock()

    def keep(self, live: Container[str]) -> None:
        """Forget all that isn't ``live``: nobody will ask about it any more."""
        for client_id in [known for known in self._left if known not in live]:
            del self._left[client_id]

    def age(self, client_id: str) -> float:
        """Seconds that have passed at least since the request left."""
        return self._clock() - self._left.get(client_id, self._began)
