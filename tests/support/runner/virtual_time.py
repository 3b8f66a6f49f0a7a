"""An event loop whose time is free: while everything waits, it jumps to whatever is due next.

Time stands still while a thread works (an fsync, say), so a deadline never passes because the
machine is busy: what a test sees depends on the order of events alone.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
START = 1000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` rises only by waiting."""

    def __init__(self) -> None:
        self.now = START
        self.epoch = time.time() - START
        self.working = 0  # jobs that threads do
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self.working += 1
        job = super().run_in_executor(executor, func, *args)
        job.add_done_callback(self._worked)
        return job

    def _worked(self, _job: object) -> None:
        self.working -= 1


class _Selector(selectors.BaseSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop, self._real = loop, selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        if self._loop.working:
            return self._real.select(None)
        ready = self._real.select(0)
        if not ready:
            self._loop.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def monotonic() -> float:
    """Seconds of the running loop, or of the machine where none runs."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def unix_time() -> float:
    """Unix seconds that move with the running loop's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.time()
    return loop.epoch + loop.time() if isinstance(loop, VirtualLoop) else time.time()
