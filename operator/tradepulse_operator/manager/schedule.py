"""Which key is worked on next, and when; pure bookkeeping, time is handed in.

DESIGN. An event says only that an object is to be reconciled, so events of one key fold:

- A key is in one place: waiting for its turn (`ready`, first come first served), waiting for its
  time (`due`), or being worked on (`running`). Never is it worked on twice at once.
- An event for a key that is running marks it `dirty`: it runs again as soon as it is done, for
  what was read before the event may be stale. Nothing that arrives is ever lost.
- Work ends with the time of the next reconciliation, with None (the next event), or with 0 (again,
  behind the others: one step at a time is fair to all keys).
- A failure waits, twice as long each time, with jitter. Events don't shorten that wait: whatever
  fails and writes would else wake itself. It is short enough (30 s) for a person to sit out.
- A key that asks for "again" too often in a row is treated as a failure: two controllers that
  undo each other's work must not take the API server down.
- A token bucket bounds the whole, so that a restart with a thousand runners is a ramp, no spike.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Limits:
    """`rate`: reconciliations per second of all keys; `burst`: at once; `base`, `cap`: seconds."""

    rate: float = 100.0
    burst: int = 200
    base: float = 0.25
    cap: float = 30.0
    #: Reconciliations in a row that may ask for another at once. A cutover takes about 20 steps.
    streak: int = 100


class Schedule(Generic[K]):
    """The state of the queue. Every method takes `now` in seconds of a monotonic clock."""

    def __init__(self, limits: Limits = Limits(), chance: random.Random | None = None) -> None:
        self._limits = limits
        self._chance = chance or random.Random()
        self._ready: deque[K] = deque()
        self._since: dict[K, float] = {}
        self._due: dict[K, float] = {}
        #: (time, order, key); an entry that `_due` doesn't confirm is void.
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._backing_off: set[K] = set()
        self._dirty: set[K] = set()
        self._running: set[K] = set()
        self._failures: dict[K, int] = {}
        self._streak: dict[K, int] = {}
        self._tokens = float(limits.burst)
        self._filled: float | None = None

    @property
    def depth(self) -> int:
        """Keys that wait for their turn."""
        return len(self._ready)

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        return len(self._running)

    def oldest(self, now: float) -> float:
        """Seconds that the first key has waited for its turn."""
        return now - self._since[self._ready[0]] if self._ready else 0.0

    def add(self, key: K, now: float) -> None:
        """Something happened to `key`: reconcile it as soon as possible."""
        if key in self._running:
            self._dirty.add(key)
        elif key not in self._backing_off and key not in self._since:
            self._due.pop(key, None)
            self._push(key, now)

    def later(self, key: K, now: float, delay: float) -> None:
        """Reconcile `key` in `delay` seconds, unless it is reconciled earlier anyway."""
        if key in self._running or key in self._since:
            return
        when = now + delay
        if when < self._due.get(key, float("inf")):
            self._at(key, when)

    def take(self, now: float) -> K | None:
        """The key to work on now; None when there is none, or the rate is used up."""
        self._ripen(now)
        self._refill(now)
        # A sum of many small refills may miss 1 by a rounding error; waiting for that never ends.
        if not self._ready or self._tokens < 1 - 1e-6:
            return None
        self._tokens = max(0.0, self._tokens - 1)
        key = self._ready.popleft()
        del self._since[key]
        self._running.add(key)
        return key

    def done(self, key: K, now: float, again: float | None) -> None:
        """Work on `key` ended well. `again`: seconds to the next reconciliation; None: at the next
        event."""
        if again is not None and again <= 0:
            self._streak[key] = self._streak.get(key, 0) + 1
            if self._streak[key] >= self._limits.streak:
                self.failed(key, now)
                return
            self._dirty.add(key)
        else:
            self._streak.pop(key, None)
        self._running.remove(key)
        self._failures.pop(key, None)
        if key in self._dirty:
            self._dirty.discard(key)
            self._push(key, now)
        elif again is not None:
            self._at(key, now + again)

    def failed(self, key: K, now: float) -> None:
        """Work on `key` failed: it waits, longer each time."""
        self._running.remove(key)
        self._dirty.discard(key)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(self._limits.cap, self._limits.base * 2 ** min(count - 1, 30))
        self._backing_off.add(key)
        self._at(key, now + longest * self._chance.uniform(0.5, 1.0))

    def next(self, now: float) -> float | None:
        """Seconds until `take` may have a key; None when only an event can give one."""
        self._ripen(now)
        self._refill(now)
        if self._ready:
            return max(0.0, (1 - self._tokens) / self._limits.rate)
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def _push(self, key: K, now: float) -> None:
        self._ready.append(key)
        self._since[key] = now

    def _at(self, key: K, when: float) -> None:
        self._due[key] = when
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, key))

    def _ripen(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self._backing_off.discard(key)
                self._push(key, now)

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._filled is None else max(0.0, now - self._filled)
        self._filled = now
        self._tokens = min(self._limits.burst, self._tokens + passed * self._limits.rate)
