"""The work queue: runs `work(key)` for every key that is to be reconciled.

The rules are those of `schedule.py`; this adds tasks, a deadline for each piece of work, and a stop
that lets running work finish its one request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from tradepulse_operator.clients.clock import Clock

from .schedule import Schedule

K = TypeVar("K", bound=Hashable)

_log = logging.getLogger(__name__)


class Meter(Protocol):
    """Is called for what the queue does. `result`: ok, again, error or timeout."""

    def waited(self, seconds: float) -> None:
        """A key's turn came after that long."""

    def worked(self, key: object, result: str, seconds: float) -> None:
        """A piece of work ended."""


class WorkQueue(Generic[K]):
    """`work(key)` → seconds to the next reconciliation; None: at the next event, 0: again."""

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        clock: Clock,
        *,
        workers: int = 8,
        deadline: float = 120.0,
        schedule: Schedule[K] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._work = work
        self._clock = clock
        self._workers = workers
        self._deadline = deadline
        self._schedule = schedule or Schedule()
        self._meter = meter
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        """Keys that wait for their turn."""
        return self._schedule.depth

    @property
    def age(self) -> float:
        """Seconds that the first key has waited for its turn."""
        return self._schedule.oldest(self._clock.monotonic())

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as possible."""
        self._schedule.add(key, self._clock.monotonic())
        self._wake.set()

    def later(self, key: K, delay: float) -> None:
        """Reconcile `key` in `delay` seconds, unless it is reconciled earlier anyway."""
        self._schedule.later(key, self._clock.monotonic(), delay)
        self._wake.set()

    async def run(self) -> None:
        """Hand out work until cancelled; what runs then is given up to 10 s to end."""
        try:
            while True:
                self._wake.clear()
                self._hand_out()
                await self._until_next()
        finally:
            await self._finish()

    def _hand_out(self) -> None:
        while len(self._tasks) < self._workers:
            waited = self.age
            key = self._schedule.take(self._clock.monotonic())
            if key is None:
                return
            if self._meter:
                self._meter.waited(waited)
            task = asyncio.create_task(self._one(key), name=f"work {key}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _until_next(self) -> None:
        full = len(self._tasks) >= self._workers
        delay = None if full else self._schedule.next(self._clock.monotonic())
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _one(self, key: K) -> None:
        began = self._clock.monotonic()
        result = "error"
        try:
            async with asyncio.timeout(self._deadline):
                again = await self._work(key)
            result = "again" if again is not None and again <= 0 else "ok"
            self._schedule.done(key, self._clock.monotonic(), again)
        except TimeoutError:
            result = "timeout"
            _log.error("gave up after %.0f s; trying again later", self._deadline)
            self._schedule.failed(key, self._clock.monotonic())
        except Exception:
            # Whatever it is, the key must not be lost: it is tried again, and said aloud.
            _log.exception("failed; trying again later")
            self._schedule.failed(key, self._clock.monotonic())
        finally:
            if self._meter:
                self._meter.worked(key, result, self._clock.monotonic() - began)

    async def _finish(self) -> None:
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=10.0)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5.0)
