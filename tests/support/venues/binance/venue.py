"""The whole venue: an exchange, its crowd, and everything that speaks for it."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from tests.support.venues.binance.desk import Desk
from tests.support.venues.binance.gate import Gate
from tests.support.venues.binance.keys import KeyRing
from tests.support.venues.binance.limits import Limits
from tests.support.venues.binance.params import Params
from tests.support.venues.binance.rest import Rest
from tests.support.venues.binance.sockets import Sockets
from tests.support.venues.binance.streams import MarketStreams
from tests.support.venues.binance.tape import Tape
from tests.support.venues.binance.userstream import UserStreams
from tests.support.venues.binance.wsapi import WsApi
from tests.support.venues.exchange import Market
from tests.support.venues.requestlog import Request
from tests.support.venues.served import ServedVenue


class BinanceVenue(ServedVenue):
    """``async with BinanceVenue() as venue``; see :class:`ServedVenue`.

    ``weight_limit`` per minute, ``order_limit`` per ten seconds, ``lifetime`` of a WebSocket
    connection in seconds.
    """

    def __init__(
        self,
        markets: Iterable[Market] = (Market(),),
        *,
        port: int = 0,
        seed: int = 1,
        interval: float = 0.0,
        weight_limit: int = 6000,
        order_limit: int = 100,
        lifetime: float = 86400.0,
    ) -> None:
        super().__init__(markets, port=port, seed=seed, interval=interval)
        self._keys = KeyRing()
        self._sockets = Sockets(self.faults, self.clock, lifetime=lifetime)
        self.faults.listeners.append(self._sockets.on_fault)
        limits = Limits(self.clock, weight=weight_limit, orders=order_limit)
        self._desk = Desk(self.exchange, Tape(self.exchange), limits, self.clock)

    @property
    def ws_api_url(self) -> str:
        return self._url("ws", "/ws-api/v3")

    @property
    def stream_url(self) -> str:
        """Raw streams are below ``/ws``, combined ones at ``/stream``."""
        return self._url("ws")

    @property
    def connections(self) -> int:
        """Open WebSocket connections."""
        return len(self._sockets)

    def add_key(
        self,
        api_key: str,
        hmac_secret: str | None = None,
        public_key_pem: str | None = None,
        account: str = "runner",
    ) -> None:
        self._keys.add(api_key, secret=hmac_secret, public_key_pem=public_key_pem, account=account)

    def remove_key(self, api_key: str) -> None:
        """Revoke it: the next request with it is refused."""
        self._keys.remove(api_key)

    def cut_streams(self, *, announced: bool = True) -> None:
        """Close every WebSocket connection now, after a ``serverShutdown`` or without a word."""
        self._sockets.cut(announced=announced)

    def _add_to(self, app: web.Application) -> None:
        desk, sockets = self._desk, self._sockets
        gate = Gate(desk, self._keys, self.faults)
        users = UserStreams(self.exchange, self.clock, desk.cancel_ids)
        Rest(desk, gate, self._note).add_to(app)
        WsApi(desk, gate, sockets, users, self.faults, self._note).add_to(app)
        MarketStreams(desk, sockets).add_to(app)

    def _let_go(self) -> None:
        self._desk.closing.set()
        self._sockets.cut(announced=False)

    def _note(self, method: str, path: str, params: Params) -> None:
        client_id = params.text("newClientOrderId") or params.text("origClientOrderId") or ""
        if "cancel" in path.lower() or method == "DELETE":
            client_id = params.text("origClientOrderId") or ""
        self.requests.append(Request(self.clock(), method, path, client_id))
