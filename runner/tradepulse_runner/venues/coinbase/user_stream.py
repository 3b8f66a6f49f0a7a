"""Updates of our orders, as the user channel tells them.

The channel tells what an order has filled in all, not its single fills: an update is passed on as
a :class:`VenueOrder`, and whoever hears that it filled more has the trades read.
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
    """One connection to the user channel. ``tell`` gets every update; ``fetch`` asks for an order
    by the venue's id, where an update alone doesn't tell what was asked for."""

    def __init__(
        self,
        name: str,
        rest: Rest,
        url: str,
        known: Known,
        *,
        fetch: Fetch,
        tell: Callable[[VenueOrder], None],
        silence: float,
    ) -> None:
        self._name, self._known = f"{name}-user", known
        self._fetch, self._tell = fetch, tell
        channels = ("heartbeats", "user")
        self._feed = Feed(self._name, rest, url, channels, (), self._hear, silence, signed=True)
        self._untold: asyncio.Queue[str] = asyncio.Queue(maxsize=1_000)

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
        """Worker: ask for the orders that updates left untold."""
        while True:
            venue_id = await self._untold.get()
            try:
                self._tell(await self._fetch(venue_id))
            except OrderError as error:  # the poll asks for it as well
                details = {"stream": self._name, "order": venue_id, "why": str(error)}
                log.info("stream.order_unread", extra=details)

    def _hear(self, message: Json) -> None:
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
            self._tell(self._known.learn(order))
        elif not self._untold.full():
            self._untold.put_nowait(venue_id)
