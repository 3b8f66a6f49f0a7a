"""Updates of our orders from the user channel.

The channel has the total that an order has filled, not its single fills: an update is passed on as
a :class:`VenueOrder`, and its receiver reads the trades when the total rose.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from tradepulse_runner.domain import VenueOrder
from tradepulse_runner.errors import OrderError
from tradepulse_runner.venues.coinbase.feed import Feed, FeedLost
from tradepulse_runner.venues.coinbase.known import Known
from tradepulse_runner.venues.coinbase.rest import Rest
from tradepulse_runner.venues.coinbase.wire import Json, items, streamed_order, text

log = logging.getLogger(__name__)
Fetch = Callable[[str], Coroutine[Any, Any, VenueOrder]]


class UserStream:
    """One connection to the user channel. ``emit`` gets every update; ``fetch`` reads an order
    by the venue's id, for updates without the whole order."""

    def __init__(
        self,
        name: str,
        rest: Rest,
        url: str,
        known: Known,
        *,
        fetch: Fetch,
        emit: Callable[[VenueOrder], None],
        silence: float,
    ) -> None:
        self._name, self._known = f"{name}-user", known
        self._fetch, self._emit = fetch, emit
        channels = ("heartbeats", "user")
        self._feed = Feed(self._name, rest, url, channels, (), self._process, silence, signed=True)
        self._incomplete: asyncio.Queue[str] = asyncio.Queue(maxsize=1_000)

    async def open(self) -> None:
        """Raises :class:`OrderError`."""
        await self._feed.open()

    async def run(self) -> None:
        """Worker: read until the stream is lost; raises :class:`OrderError` then."""
        try:
            await self._feed.run()
        finally:
            await self._feed.close()

    async def close(self) -> None:
        await self._feed.close()

    async def complete(self) -> None:
        """Worker: read the orders of which an update had a part only."""
        while True:
            venue_id = await self._incomplete.get()
            try:
                self._emit(await self._fetch(venue_id))
            except OrderError as error:  # the poll asks for it as well
                details = {"stream": self._name, "order": venue_id, "why": str(error)}
                log.info("stream.order_unread", extra=details)

    def _process(self, message: Json) -> None:
        if message.get("channel") != "user":
            return
        try:
            for event in items(message, "events"):
                for raw in items(event, "orders"):
                    self._update(raw)
        except OrderError as error:
            raise FeedLost(f"{self._name}: {error}") from error

    def _update(self, raw: Json) -> None:
        venue_id = text(raw, "order_id")
        order = streamed_order(raw, self._known.asked(venue_id))
        if order is not None:
            self._emit(self._known.remember(order))
        elif not self._incomplete.full():
            self._incomplete.put_nowait(venue_id)
