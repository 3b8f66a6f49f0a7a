"""One WebSocket connection: subscribe, read, notice what is missing.

docs.cdp.coinbase.com, Advanced Trade WebSocket overview: a connection that subscribes to nothing
within five seconds is closed; a subscribe message is for one channel, with a JWT of its own; the
``heartbeats`` channel sends a message a second, so silence means that the connection is dead.
``sequence_num`` rises by one with every message of a connection, whatever its channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp

from tradepulse_runner.credentials.store import Credential
from tradepulse_runner.errors import VenueDisconnected
from tradepulse_runner.venues.coinbase.rest import Rest
from tradepulse_runner.venues.coinbase.wire import Json

#: Seconds from dialling until every channel is confirmed.
SUBSCRIBE_WITHIN = 5.0
MAX_MESSAGE = 8 << 20  # a snapshot of many orders is one message


class FeedLost(VenueDisconnected):
    """The connection ended, or messages of it are missing."""


@dataclass(slots=True)
class Numbering:
    """Watches ``sequence_num``."""

    expected: int | None = None

    def fresh(self, message: Json) -> bool:
        """Whether the message is the next one; False for one that came late or twice. Raises
        :class:`FeedLost` after a gap."""
        number = message.get("sequence_num")
        if not isinstance(number, int):
            return True
        before, late = self.expected, self.expected is not None and number < self.expected
        if late:
            return False
        self.expected = number + 1
        if before is not None and number > before:
            raise FeedLost(f"messages {before} to {number - 1} are missing")
        return True


@dataclass(slots=True)
class Feed:
    """A subscribed connection. ``on_message`` gets each message of the channels but heartbeats."""

    name: str
    rest: Rest
    url: str
    channels: Sequence[str]
    products: Sequence[str]
    on_message: Callable[[Json], None]
    silence: float
    signed: bool
    used: Credential | None = None
    _socket: aiohttp.ClientWebSocketResponse | None = None
    _sequence: Numbering = field(default_factory=Numbering)
    # Whose each subscription was that has no answer yet: the venue answers in their order.
    _unanswered: deque[Credential | None] = field(default_factory=deque)

    async def open(self) -> None:
        """Connect and subscribe. Raises :class:`FeedLost`."""
        try:
            async with asyncio.timeout(SUBSCRIBE_WITHIN):
                self._socket = await self.rest.session.ws_connect(
                    self.url, autoping=True, max_msg_size=MAX_MESSAGE
                )
                await self.subscribe()
                await self._confirmed()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            await self.close()
            raise FeedLost(f"{self.name}: {type(error).__name__}") from error
        except BaseException:
            await self.close()
            raise

    async def subscribe(self) -> None:
        """Ask for every channel, with fresh tokens. Repeated, it renews the authentication."""
        assert self._socket is not None
        for channel in self.channels:
            message: dict[str, Any] = {"type": "subscribe", "channel": channel}
            if channel != "heartbeats":
                message["product_ids"] = list(self.products)
            if self.signed:
                message["jwt"], self.used = self.rest.socket_token()
            self._unanswered.append(self.used)
            await self._socket.send_str(json.dumps(message))

    async def _confirmed(self) -> None:
        """Until the venue listed all channels as subscribed; passes on what comes meanwhile."""
        missing = set(self.channels)
        while missing:
            message = await self._next()
            if message.get("channel") == "subscriptions":
                for event in message.get("events") or ():
                    missing -= set(event.get("subscriptions") or ())
            else:
                self._pass_on(message)

    async def run(self) -> None:
        """Read until the connection is lost: always ends by raising :class:`FeedLost`."""
        while True:
            self._pass_on(await self._next())
            if self.used is not None and self.rest.credential_is_newer_than(self.used):
                await self.subscribe()

    def _pass_on(self, message: Json) -> None:
        if message.get("channel") not in ("heartbeats", "subscriptions", None):
            self.on_message(message)

    async def _next(self) -> Json:
        """The next message that isn't late."""
        assert self._socket is not None
        while True:
            try:
                frame = await self._socket.receive(timeout=self.silence)
            except TimeoutError:
                raise FeedLost(f"{self.name}: silent for {self.silence:g} s") from None
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise FeedLost(f"{self.name}: closed ({self._socket.close_code})")
            message = self._read(frame.data)
            if message.get("type") == "error":
                await self._objected(str(message.get("message"))[:200])
            elif self._sequence.fresh(message):
                if message.get("channel") == "subscriptions" and self._unanswered:
                    self._unanswered.popleft()
                return message

    def _read(self, text: str) -> Json:
        try:
            message = json.loads(text, parse_float=Decimal)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise FeedLost(f"{self.name}: sent no JSON object: {text[:120]!r}")
        return message

    async def _objected(self, why: str) -> None:
        """The venue refused a subscription: ask again if that was with old credentials."""
        used = self._unanswered.popleft() if self._unanswered else self.used
        if used is None or not self.rest.refused(used):
            raise FeedLost(f"{self.name}: {why}")
        if used is self.used:  # else asked again already
            await self.subscribe()

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with asyncio.timeout(1.0):
                    await socket.close()
