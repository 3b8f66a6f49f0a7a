"""What connectors with streams have in common: their workers and their listener."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from tradepulse_runner.domain import StreamLost, VenueEvent
from tradepulse_runner.errors import OrderError
from tradepulse_runner.venues.base import Listener

log = logging.getLogger(__name__)
Worker = Coroutine[Any, Any, None]


class StreamingConnector:
    """The life of a connector: its workers run while it is ``streaming``."""

    def __init__(self, name: str, symbols: Iterable[str]) -> None:
        self.name = name
        self.symbols = frozenset(symbols)
        self.streaming = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener = _ignore

    async def _open(self) -> Iterable[Worker]:
        """Read what trading needs and open the streams; returns the workers that keep them open.
        Raises :class:`OrderError`."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Release what :meth:`_open` opened, even if it failed halfway; its workers have ended."""
        raise NotImplementedError

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def connect(self) -> None:
        if self.streaming:
            return
        await self.disconnect()
        try:
            workers = await self._open()
        except BaseException:
            await self.disconnect()
            raise
        self.streaming = True
        for work in workers:
            task = asyncio.create_task(work, name=self.name)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def disconnect(self) -> None:
        self.streaming = False
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A worker ends by itself only when a stream is lost, or by a defect."""
        if task not in self._tasks or task.cancelled():
            return
        why = task.exception()
        if isinstance(why, OrderError):
            self._lose(str(why))
        elif why is not None:
            log.error("venue.worker_failed", extra={"venue": self.name}, exc_info=why)
            self._lose(f"{type(why).__name__}: {why}")
        elif self.streaming:  # the worker returned without an error
            self._lose("a worker ended")

    def _emit(self, event: VenueEvent) -> None:
        self._listener(event)

    def _lose(self, reason: str) -> None:
        self.streaming = False
        with contextlib.suppress(Exception):  # a listener that fails learns of it by polling
            self._listener(StreamLost(reason))


def _ignore(_event: VenueEvent) -> None:
    """The listener before :meth:`StreamingConnector.listen`."""
