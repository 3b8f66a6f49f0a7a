"""One WebSocket stream over successive connections, the next open before the last is closed.

Binance ends every connection after 24 hours, and announces a shutdown with ``serverShutdown``
(``web-socket-streams.md``, "Server Shutdown"; ``web-socket-api.md``, "General API Information").
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from tradepulse_runner.errors import OrderError, VenueDisconnected, VenueThrottled
from tradepulse_runner.venues.binance.rest import Rest

log = logging.getLogger(__name__)
Socket = aiohttp.ClientWebSocketResponse
#: Seconds without a pong after which a connection counts as dead (half of it is the ping's wait).
HEARTBEAT = 10.0
MAX_AGE = 23 * 3600.0
MAX_BACKOFF = 30.0
#: Seconds about which a lost stream waits before it dials: a server may accept and hang up.
PAUSE = 1.0
MAX_MESSAGE = 1 << 20


@dataclass(slots=True)
class _Connection:
    socket: Socket
    reader: asyncio.Task[str]  # ends with the reason


class Stream:
    """Reads JSON messages of whatever ``dial`` opens.

    ``on_message`` gets each message; ``on_lost`` gets the reason when the connection ended without
    another one taking over. ``forever`` then dials again; otherwise :meth:`run` returns.
    """

    def __init__(
        self,
        name: str,
        dial: Callable[[], Awaitable[Socket]],
        on_message: Callable[[Any], None],
        on_lost: Callable[[str], None],
        *,
        forever: bool,
        max_age: float = MAX_AGE,
    ) -> None:
        self.name = name
        self._dial, self._on_message, self._on_lost = dial, on_message, on_lost
        self._forever, self._max_age = forever, max_age
        self._renew_for = ""
        self._changed = asyncio.Event()
        self._current: _Connection | None = None
        self._unclosed: list[_Connection] = []

    @property
    def open(self) -> bool:
        return self._current is not None and not self._current.reader.done()

    def renew(self, why: str) -> None:
        """Replace the connection soon, without a gap. ``why`` is logged."""
        self._renew_for = why
        self._changed.set()

    async def start(self) -> None:
        """The first connection. Raises :class:`OrderError`."""
        self._current = await self._connect()

    async def run(self) -> None:
        """Worker: keep a connection open until lost (or for ever)."""
        try:
            while True:
                while self._current is None:
                    self._current = await self._dial_until_open()
                await self._wait_for_change(self._current)
                if not await self._take_over(self._current):
                    if not self._forever:
                        return
                    await asyncio.sleep(random.uniform(0.5, 1) * PAUSE)
        finally:
            for connection in [*self._unclosed]:
                await self._close(connection)

    async def _wait_for_change(self, connection: _Connection) -> None:
        """Until the connection ended or is to be renewed."""
        connection.reader.add_done_callback(lambda _: self._changed.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._max_age):
                while not self._renew_for and not connection.reader.done():
                    self._changed.clear()
                    await self._changed.wait()
                return
        self._renew_for = f"{self._max_age:.0f} s old"

    async def _take_over(self, old: _Connection) -> bool:
        """Make before break. Whether the stream has had no gap."""
        why, self._renew_for = self._renew_for, ""
        self._current = None
        try:
            if not old.reader.done():
                log.info("stream.renewed", extra={"stream": self.name, "why": why})
                self._current = await self._dial_until_open(while_open=old)
            lost = old.reader.done()
            reason = old.reader.result() if lost else ""
        finally:
            await self._close(old)
        if lost:
            log.warning("stream.lost", extra={"stream": self.name, "why": reason})
            self._on_lost(reason)
        return not lost

    async def _dial_until_open(self, while_open: _Connection | None = None) -> _Connection | None:
        """Dial until it works, or, if given, until the old connection is gone."""
        attempt = 0
        while while_open is None or not while_open.reader.done():
            try:
                return await self._connect()
            except OrderError as error:
                attempt += 1
                delay = min(MAX_BACKOFF, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)
                if isinstance(error, VenueThrottled):
                    delay = max(delay, error.retry_after)
                details = {"stream": self.name, "attempt": attempt, "why": str(error)}
                log.warning("stream.dial_failed", extra=details)
                await asyncio.sleep(delay)
        return None

    async def _connect(self) -> _Connection:
        try:
            socket = await self._dial()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VenueDisconnected(f"{self.name}: {type(error).__name__}") from error
        reader = asyncio.create_task(self._read(socket), name=self.name)
        connection = _Connection(socket, reader)
        self._unclosed.append(connection)
        return connection

    async def _read(self, socket: Socket) -> str:
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._on_message(json.loads(message.data, parse_float=Decimal))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # A message that could not be read or used: its content must be polled.
            log.exception("stream.failed", extra={"stream": self.name})
            return f"{type(error).__name__}: {error}"
        return f"closed ({socket.close_code})"

    async def _close(self, connection: _Connection) -> None:
        connection.reader.cancel()
        await asyncio.wait({connection.reader})
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(1.0):
                await connection.socket.close()
        self._unclosed.remove(connection)


async def open_socket(rest: Rest, url: str) -> Socket:
    """A WebSocket that answers pings, sends its own, and dies when they stay unanswered."""
    try:
        return await rest.session.ws_connect(
            url, heartbeat=HEARTBEAT, autoping=True, max_msg_size=MAX_MESSAGE, compress=0
        )
    except aiohttp.WSServerHandshakeError as error:
        raise rest.refused(error.status, "", error.headers or {}) from error
