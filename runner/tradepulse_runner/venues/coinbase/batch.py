"""Requests about single orders that are made at about the same time leave as one.

Coinbase counts requests (30 a second for a user), and takes many orders in one of them: cancelling
a hundred one by one would take seconds in which they trade.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from tradepulse_runner.errors import VenueDisconnected

V = TypeVar("V")
LIMIT = 50


class Batch(Generic[V]):
    """``send`` takes up to ``limit`` keys and returns a value, or what to raise, for each; a key
    that it leaves out gets ``missing``. While one batch is on its way the next one gathers."""

    def __init__(
        self,
        send: Callable[[list[str]], Coroutine[Any, Any, Mapping[str, V | Exception]]],
        missing: Callable[[str], Exception],
        *,
        limit: int = LIMIT,
    ) -> None:
        self._send, self._missing, self._limit = send, missing, limit
        self._waiting: dict[str, asyncio.Future[V]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ask(self, key: str) -> V:
        """The value of ``key``; raises what ``send`` raised."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_retrieve)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="batch")
        return await asyncio.shield(future)

    async def close(self) -> None:
        """End what is in flight; its callers get an error for an unknown outcome."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        while self._waiting:
            self._waiting.popitem()[1].set_exception(VenueDisconnected("disconnected meanwhile"))

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # requests of this turn of the event loop join
            keys = list(self._waiting)[: self._limit]
            asked = {key: self._waiting.pop(key) for key in keys}
            try:
                answers = await self._send(keys)
            except asyncio.CancelledError:
                self._waiting.update(asked)
                raise
            except Exception as error:
                for future in asked.values():
                    future.set_exception(error)
                continue
            for key, future in asked.items():
                value = answers[key] if key in answers else self._missing(key)
                if isinstance(value, Exception):
                    future.set_exception(value)
                else:
                    future.set_result(value)


def _retrieve(future: asyncio.Future[V]) -> None:
    """Retrieve a failure that no caller waits for any more."""
    if not future.cancelled():
        future.exception()
