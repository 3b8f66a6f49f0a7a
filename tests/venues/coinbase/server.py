"""The venue as a server on the loopback: REST, both WebSocket endpoints, the kit's own door."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.venues.coinbase.brokerage import Behaviour, Brokerage
from tests.venues.coinbase.feed import MARKET_CHANNELS, USER_CHANNELS, Feed, Timing
from tests.venues.coinbase.hub import Hub
from tests.venues.coinbase.limits import PRIVATE_RATE, PUBLIC_RATE, RateLimit
from tests.venues.coinbase.rest import Rest
from tests.venues.coinbase.tokens import Keyring
from tests.venues.control import add_control
from tests.venues.exchange import Crowd, Exchange, FeeFrom, Market
from tests.venues.faults import Faults
from tests.venues.http_faults import let_go_on_shutdown
from tests.venues.pulse import Pulse
from tests.venues.requestlog import Request

HOST = "127.0.0.1"
MARKET_PATH, USER_PATH = "/ws", "/ws-user"
DOCUMENTED = Timing()
BTC_USD = Market(
    symbol="BTC-USD",
    base="BTC",
    quote="USD",
    tick=Decimal("0.01"),
    lot=Decimal("0.00000001"),
    min_quantity=Decimal("0.00000001"),
    min_notional=Decimal(1),
)


class CoinbaseVenue:
    """``async with CoinbaseVenue() as venue``: listens on ``port`` (0: any), with ``tls`` as
    https and wss. ``interval``: seconds between the crowd's steps; 0: it quotes once and stands
    still. ``private_rate`` and ``public_rate``: requests a second, None for any number.
    ``behaviour`` and ``clock_skew`` (seconds that the venue's clock is ahead of this machine's) may
    be set any time."""

    def __init__(
        self,
        markets: Iterable[Market] = (BTC_USD,),
        *,
        port: int = 0,
        seed: int = 1,
        interval: float = 0.0,
        fee: Decimal = Decimal("0.001"),
        tls: ssl.SSLContext | None = None,
        timing: Timing = DOCUMENTED,
        private_rate: int | None = PRIVATE_RATE,
        public_rate: int | None = PUBLIC_RATE,
    ) -> None:
        self.clock_skew = 0.0
        self.exchange = Exchange(markets, clock=self.clock, fee=fee, fee_from=FeeFrom.QUOTE)
        self.faults = Faults()
        self.crowd = Crowd(self.exchange, seed)
        self.requests: list[Request] = []
        self._port = port
        self._interval = interval
        self._tls = tls
        self._timing = timing
        self._keyring = Keyring(self.clock)
        self._brokerage = Brokerage(self.exchange, clock=self.clock, later=_later)
        self._hub = Hub(self.exchange, self._brokerage, self.faults, self.clock)
        self.faults.listeners.append(self._hub.on_fault)
        self._rest = Rest(
            self.exchange,
            self._brokerage,
            self._keyring,
            self.faults,
            clock=self.clock,
            private=RateLimit(private_rate, self.clock),
            public=RateLimit(public_rate, self.clock),
            log=self._note,
        )
        self._stack = contextlib.AsyncExitStack()

    def clock(self) -> float:
        return time.time() + self.clock_skew

    @property
    def behaviour(self) -> Behaviour:
        return self._brokerage.behaviour

    @property
    def rest_url(self) -> str:
        return f"http{self._s}://{self._address}"

    @property
    def ws_url(self) -> str:
        return f"ws{self._s}://{self._address}{MARKET_PATH}"

    @property
    def ws_user_url(self) -> str:
        return f"ws{self._s}://{self._address}{USER_PATH}"

    @property
    def _s(self) -> str:
        return "s" if self._tls is not None else ""

    @property
    def _address(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def connections(self) -> int:
        """Open WebSocket connections."""
        return len(self._hub.feeds)

    def add_key(
        self,
        key_name: str,
        public_key_pem: str | bytes,
        account: str = "runner",
        *,
        can_trade: bool = True,
    ) -> None:
        self._keyring.add(key_name, public_key_pem, account, can_trade=can_trade)

    def remove_key(self, key_name: str) -> None:
        """Revoke it: the next request with it is refused."""
        self._keyring.remove(key_name)

    def cut_streams(self) -> None:
        """End every WebSocket connection now, without a word."""
        self._hub.cut()

    def lose_message(self) -> None:
        """Every feed skips a sequence number: a loss that can be noticed."""
        for feed in self._hub.feeds:
            feed.skip()

    async def __aenter__(self) -> Self:
        app = web.Application()
        add_control(app, self)
        let_go_on_shutdown(app)
        app.add_routes(self._rest.routes())
        app.router.add_get(MARKET_PATH, self._serve(MARKET_CHANNELS | USER_CHANNELS))
        app.router.add_get(USER_PATH, self._serve(USER_CHANNELS))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, self._port, ssl_context=self._tls).start()
        self._port = runner.addresses[0][1]
        await self._stack.enter_async_context(Pulse(self.crowd, self._interval))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hub.cut()
        await self._stack.aclose()

    def _serve(self, channels: frozenset[str]) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            feed = Feed(
                socket,
                self._hub,
                self._keyring,
                channels=channels,
                timing=self._timing,
                clock=self.clock,
                transport=request.transport,
                faults=self.faults,
                silent=self._hub.silent,
            )
            self._hub.feeds.add(feed)
            try:
                await feed.run()
            finally:
                self._hub.feeds.discard(feed)
            return socket

        return serve

    def _note(self, request: web.Request, body: Mapping[str, Any]) -> None:
        client_id = str(body.get("client_order_id", ""))
        self.requests.append(Request(self.clock(), request.method, request.path, client_id))


def _later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)
