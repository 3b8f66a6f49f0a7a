"""The venue as a server on the loopback: REST, both WebSocket endpoints, the kit's own door."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.support.venues.coinbase.brokerage import Behaviour, Brokerage
from tests.support.venues.coinbase.feed import MARKET_CHANNELS, USER_CHANNELS, Feed, Timing
from tests.support.venues.coinbase.hub import Hub
from tests.support.venues.coinbase.limits import PRIVATE_RATE, PUBLIC_RATE, RateLimit
from tests.support.venues.coinbase.rest import Rest
from tests.support.venues.coinbase.tokens import Keyring
from tests.support.venues.exchange import FeeFrom, Market
from tests.support.venues.http_faults import let_go_on_shutdown
from tests.support.venues.requestlog import Request
from tests.support.venues.served import ServedVenue

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


class CoinbaseVenue(ServedVenue):
    """``async with CoinbaseVenue() as venue``; see :class:`ServedVenue`. With ``tls``: https and
    wss. ``private_rate`` and ``public_rate``: requests a second, None for any number.
    ``behaviour`` may be set any time."""

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
        super().__init__(
            markets,
            port=port,
            seed=seed,
            interval=interval,
            fee=fee,
            fee_from=FeeFrom.QUOTE,
            tls=tls,
        )
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

    @property
    def behaviour(self) -> Behaviour:
        return self._brokerage.behaviour

    @property
    def ws_url(self) -> str:
        return self._url("ws", MARKET_PATH)

    @property
    def ws_user_url(self) -> str:
        return self._url("ws", USER_PATH)

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

    def _add_to(self, app: web.Application) -> None:
        let_go_on_shutdown(app)
        app.add_routes(self._rest.routes())
        app.router.add_get(MARKET_PATH, self._serve(MARKET_CHANNELS | USER_CHANNELS))
        app.router.add_get(USER_PATH, self._serve(USER_CHANNELS))

    def _let_go(self) -> None:
        self._hub.cut()

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
