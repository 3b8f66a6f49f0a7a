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
from tests.venues.exchange import Crowd, Exchange, FeeFrom, Market
from tests.venues.faults import Faults

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
    https and wss. ``crowd_interval``: seconds between the other participants' moves, None for a
    market without them. ``behaviour`` and ``clock_skew`` (seconds that the venue's clock is ahead)
    may be changed while it runs; a rate limit of None lets everything pass."""

    def __init__(
        self,
        markets: Iterable[Market] = (BTC_USD,),
        *,
        port: int = 0,
        seed: int = 1,
        crowd_interval: float | None = 0.2,
        fee: Decimal = Decimal("0.001"),
        tls: ssl.SSLContext | None = None,
        timing: Timing = DOCUMENTED,
        private_rate: int | None = PRIVATE_RATE,
        public_rate: int | None = PUBLIC_RATE,
    ) -> None:
        self.clock_skew = 0.0
        self.exchange = Exchange(markets, clock=self.clock, fee=fee, fee_from=FeeFrom.QUOTE)
        self.faults = Faults()
        self.crowd = Crowd(self.exchange, seed) if crowd_interval is not None else None
        self.requests: list[Any] = []
        self._port = port
        self._crowd_interval = crowd_interval
        self._tls = tls
        self._timing = timing
        self._keyring = Keyring(self.clock)
        self._brokerage = Brokerage(self.exchange, clock=self.clock, later=_later)
        self._hub = Hub(self.exchange, self._brokerage, self.faults, self.clock)
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
        self._runner: web.AppRunner | None = None
        self._crowding: asyncio.Task[None] | None = None

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
        assert self._runner is not None, "the venue is not running"
        host, port = self._runner.addresses[0][:2]
        return f"{host}:{port}"

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
        self._keyring.remove(key_name)

    def lose_message(self) -> None:
        """Every user's feed skips a sequence number: a loss that can be noticed."""
        for feed in self._hub.feeds:
            feed.skip()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self._rest.routes())
        app.router.add_get(MARKET_PATH, self._serve(MARKET_CHANNELS | USER_CHANNELS))
        app.router.add_get(USER_PATH, self._serve(USER_CHANNELS))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port, ssl_context=self._tls).start()
        if self.crowd is not None:
            self.crowd.step()
            self._crowding = asyncio.create_task(self._run_crowd(self.crowd), name="crowd")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._crowding is not None:
            self._crowding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._crowding
        for feed in list(self._hub.feeds):
            feed.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _run_crowd(self, crowd: Crowd) -> None:
        assert self._crowd_interval is not None, "a crowd has an interval"
        while True:
            await asyncio.sleep(self._crowd_interval)
            crowd.step()

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
                on_beat=self._hub.strike,
            )
            self._hub.feeds.add(feed)
            try:
                await feed.run()
            finally:
                self._hub.feeds.discard(feed)
            return socket

        return serve

    def _note(self, request: web.Request, body: Mapping[str, Any]) -> None:
        self.requests.append(
            (self.clock(), request.method, request.path, body.get("client_order_id", ""))
        )


def _later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)
