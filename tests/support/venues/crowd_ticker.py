"""Lets a crowd take a step at an interval, while there is somebody to trade with."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

from tests.support.venues.exchange import Crowd


class CrowdTicker:
    """A context: the crowd stepped once before it opens. ``interval`` in seconds; 0 is only that
    one step, so that there are quotes, which then stand still."""

    def __init__(self, crowd: Crowd, interval: float) -> None:
        self._crowd = crowd
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> CrowdTicker:
        self._crowd.step()
        if self._interval > 0:
            self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self._crowd.step()
