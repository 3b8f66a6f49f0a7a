"""One client's WebSocket: what it subscribed to, numbering, heartbeats, and when it is closed.

Rules (docs.cdp.coinbase.com, Advanced Trade WebSocket overview and channels): one channel a
subscribe message; a connection that subscribes to nothing within five seconds is closed; channels
without updates are closed after 60 to 90 seconds unless ``heartbeats`` is subscribed, which sends
a counter every second; ``sequence_num`` counts the messages of a connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from tests.support.venues.coinbase.tokens import ApiKey, Keyring, TokenRefused
from tests.support.venues.coinbase.values import stamp
from tests.support.venues.faults import Faults, Outlet

Event = dict[str, Any]

MARKET_CHANNELS = frozenset({"ticker", "level2", "market_trades"})
USER_CHANNELS = frozenset({"user"})
# What a channel's messages are called, where that differs from its own name.
MESSAGE_NAMES = {"level2": "l2_data"}


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: to the first subscribe, without updates until closed, between heartbeats."""

    subscribe_within: float = 5.0
    idle: float = 75.0
    heartbeat: float = 1.0


class Source(Protocol):
    """Where a channel's state at the time of subscribing comes from."""

    def products(self, asked: list[str]) -> list[str]:
        """The products meant by ``asked`` (all when empty). Raises :class:`KeyError`."""

    def snapshots(self, channel: str, products: list[str], account: str | None) -> list[Event]:
        """The events of the first messages, a message each."""


class Refusal(Exception):
    """What is wrong with a client's message, in the venue's words."""


class Feed:
    """Serves one connection until it ends. ``channels`` are those of its endpoint."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        source: Source,
        keyring: Keyring,
        *,
        channels: frozenset[str],
        timing: Timing,
        clock: Callable[[], float],
        transport: asyncio.Transport | None,
        faults: Faults,
        silent: Callable[[], bool],
    ) -> None:
        self.account: str | None = None
        self.outlet: Outlet[Event] = Outlet(faults)
        self._transport = transport
        self._silent = silent
        self._socket = socket
        self._source = source
        self._keyring = keyring
        self._allowed = channels | {"heartbeats"}
        self._timing = timing
        self._clock = clock
        self._subscribed: dict[str, set[str]] = {}
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._sequence = 0
        self._beats = 0
        self._expired = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def wants(self, channel: str, product: str) -> bool:
        return product in self._subscribed.get(channel, ())

    def send(self, channel: str, *events: Event) -> None:
        """Numbers a message and puts it on its way."""
        message = {
            "channel": MESSAGE_NAMES.get(channel, channel),
            "client_id": "",
            "timestamp": stamp(self._clock()),
            "sequence_num": self._sequence,
            "events": list(events),
        }
        self._sequence += 1
        self._post(message)
        if self._subscribed:
            self._expire_after(self._timing.idle)

    def tell(self, channel: str, event: Event) -> None:
        """Sends what happened, unless the venue has fallen silent."""
        if not self._silent():
            self.send(channel, event)

    def skip(self) -> None:
        """Uses up a sequence number, as if a message had been lost on its way."""
        self._sequence += 1

    def _post(self, message: Event) -> None:
        self._outbox.put_nowait(json.dumps(message, separators=(",", ":")))

    def cut(self) -> None:
        """End the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    async def run(self) -> None:
        self._expire_after(self._timing.subscribe_within)
        helpers = [
            asyncio.create_task(work(), name=f"feed-{work.__name__}")
            for work in (self._write, self._beat, self._watch)
        ]
        try:
            await self._read()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            if self._timer is not None:
                self._timer.cancel()

    def _expire_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        if "heartbeats" not in self._subscribed:
            self._expired.set()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                try:
                    self._handle(message.data)
                except Refusal as refusal:
                    self._post({"type": "error", "message": str(refusal)})

    async def _write(self) -> None:
        while True:
            text = await self._outbox.get()
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                return

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._timing.heartbeat)
            if "heartbeats" in self._subscribed:
                self._beats += 1
                now = stamp(self._clock())
                self.tell("heartbeats", {"current_time": now, "heartbeat_counter": self._beats})

    async def _watch(self) -> None:
        await self._expired.wait()
        await self._socket.close(
            code=WSCloseCode.POLICY_VIOLATION, message=b"nothing subscribed, or no updates"
        )

    def _handle(self, text: str) -> None:
        kind, channel, asked, token = _parse(text)
        if channel not in self._allowed:
            raise Refusal(f"channel {channel!r} is not supported")
        key = self._authenticate(token)
        if channel in USER_CHANNELS:
            if key is None:
                raise Refusal("authentication failure")
            self.account = key.account
        try:
            products = self._source.products(asked) if channel != "heartbeats" else []
        except KeyError as error:
            raise Refusal(f"invalid product id {error}") from error
        if kind == "subscribe":
            self._subscribe(channel, products)
        else:
            self._unsubscribe(channel, products if asked else [])
        self.send("subscriptions", {"subscriptions": self._listing()})

    def _authenticate(self, token: str | None) -> ApiKey | None:
        """Tokens are optional on the market's channels, but a wrong one is refused on all."""
        if token is None:
            return None
        try:
            return self._keyring.holder(token)
        except TokenRefused as error:
            raise Refusal("authentication failure") from error

    def _subscribe(self, channel: str, products: list[str]) -> None:
        self._subscribed.setdefault(channel, set()).update(products)
        for event in self._source.snapshots(channel, products, self.account):
            self.send(channel, event)

    def _unsubscribe(self, channel: str, products: list[str]) -> None:
        """Without products: from the whole channel."""
        left = self._subscribed.get(channel, set()) - set(products) if products else set()
        if left:
            self._subscribed[channel] = left
        else:
            self._subscribed.pop(channel, None)

    def _listing(self) -> dict[str, list[str]]:
        return {
            channel: ["heartbeats"] if channel == "heartbeats" else sorted(products)
            for channel, products in sorted(self._subscribed.items())
        }


def _parse(text: str) -> tuple[str, str, list[str], str | None]:
    """Kind, channel, products and token of a client's message."""
    try:
        message = json.loads(text)
        kind, channel = message["type"], message["channel"]
        products = message.get("product_ids") or []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("message is not a subscribe or unsubscribe") from error
    if kind not in ("subscribe", "unsubscribe"):
        raise Refusal(f"type {kind!r} is not supported")
    return kind, channel, products, message.get("jwt")
