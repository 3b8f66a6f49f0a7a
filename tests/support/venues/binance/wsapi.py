"""The WebSocket API: the same endpoints by method name, sessions, user data subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.venues.binance import account, market, orders
from tests.support.venues.binance.desk import Desk, Endpoint
from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.gate import Credentials, Gate, NoAnswer, Reset
from tests.support.venues.binance.params import Params
from tests.support.venues.binance.sockets import Connection, Sockets
from tests.support.venues.binance.userstream import UserStreams
from tests.support.venues.binance.views import Json, millis
from tests.support.venues.faults import FaultKind, Faults

METHODS: Mapping[str, Endpoint] = {
    "ping": market.PING,
    "time": market.TIME,
    "exchangeInfo": market.INFO,
    "depth": market.DEPTH,
    "trades.recent": market.TRADES,
    "avgPrice": market.AVERAGE,
    "ticker.book": market.BOOK_TICKER,
    "ticker.price": market.PRICE,
    "order.place": orders.PLACE,
    "order.test": orders.TEST,
    "order.status": orders.QUERY,
    "order.cancel": orders.CANCEL,
    "openOrders.status": orders.OPEN,
    "openOrders.cancelAll": orders.CANCEL_ALL,
    "allOrders": orders.ALL,
    "account.status": account.ACCOUNT,
    "account.rateLimits.orders": account.ORDER_COUNTS,
    "myTrades": account.TRADES,
}


@dataclass(slots=True)
class _Session:
    """A connection's state. ``account`` is "" until it logged on; ``show_limits``: unless a
    request says otherwise."""

    connection: Connection
    since: float
    show_limits: bool
    api_key: str = ""
    account: str = ""
    authorized_since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    id: Any
    method: str
    params: Params
    credentials: Credentials
    show_limits: bool


_CONNECTING = 2  # weight

Note = Callable[[str, str, Params], None]


class WsApi:
    def __init__(
        self,
        desk: Desk,
        gate: Gate,
        sockets: Sockets,
        streams: UserStreams,
        faults: Faults,
        note: Note,
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._sockets = sockets
        self._streams = streams
        self._faults = faults
        self._note = note
        self._own: Mapping[str, Callable[[_Session, _Request], Any]] = {
            "session.logon": self._log_on,
            "session.status": self._session_status,
            "session.logout": self._log_out,
            "session.subscriptions": self._subscriptions,
            "userDataStream.subscribe": self._subscribe_session,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/ws-api/v3", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            self._desk.limits.charge(_CONNECTING)
        except ApiError as error:
            return web.json_response(error.body(), status=error.status)
        async with self._sockets.accept(request, _farewell) as (connection, socket):
            show_limits = request.query.get("returnRateLimits", "true") == "true"
            session = _Session(connection, self._desk.clock(), show_limits)
            # Requests of one connection do not wait for each other: one that hangs holds up none.
            async with _Tasks() as tasks:
                try:
                    async for text in connection.messages():
                        tasks.start(self._answer(session, text))
                finally:
                    self._streams.forget(connection)
        return socket

    async def _answer(self, session: _Session, text: str) -> None:
        try:
            request = _read(text, session)
        except ApiError as error:
            session.connection.send({"id": None, "status": error.status, "error": error.body()})
            return
        self._note("WS", request.method, request.params)
        try:
            result = await self._carry_out(session, request)
        except ApiError as error:
            self._reply(session, request, error.status, {"error": self._error_body(error)})
        except NoAnswer:
            return
        except Reset:
            session.connection.abort()
        else:
            self._reply(session, request, 200, {"result": result})

    async def _carry_out(self, session: _Session, request: _Request) -> Any:
        own = self._own.get(request.method)
        if own is not None:
            self._desk.limits.charge(2)
            return own(session, request)
        endpoint = METHODS.get(request.method)
        if endpoint is None:
            raise ApiError(-1020, f"Unknown method '{request.method}'.")
        return await self._gate.pass_through(endpoint, request.params, request.credentials)

    def _reply(self, session: _Session, request: _Request, status: int, content: Json) -> None:
        endpoint = METHODS.get(request.method)
        message = {"id": request.id, "status": status, **content}
        if request.show_limits:
            ordering = endpoint is not None and endpoint.counts_as_order and status == 200
            who = self._account_of(session, request) if ordering else None
            message["rateLimits"] = self._desk.limits.usage(who)
        session.connection.send(message)
        if endpoint and self._faults.take(endpoint.fault, FaultKind.DUPLICATE_ACK):
            session.connection.send(message)

    def _error_body(self, error: ApiError) -> Json:
        body: Json = dict(error.body())
        if error.retry_after is not None:  # here it is a time, in REST's header a duration
            now = millis(self._desk.clock())
            body["data"] = {"serverTime": now, "retryAfter": now + error.retry_after * 1000}
        return body

    def _account_of(self, session: _Session, request: _Request) -> str:
        key = request.credentials.api_key
        return self._gate.account_of(key) if key else session.account

    # -- the session itself

    def _log_on(self, session: _Session, request: _Request) -> Json:
        request.params.check(("apiKey", "timestamp", "signature"), ())
        if not self._gate.is_ed25519(request.credentials.api_key):
            raise ApiError(-4056, "HMAC_SHA256 API key is not supported.")
        session.account = self._gate.authenticate(request.params, request.credentials)
        session.api_key = request.params.need("apiKey")
        session.authorized_since = self._desk.clock()
        return self._session_status(session, request)

    def _session_status(self, session: _Session, request: _Request) -> Json:
        known = session.account != ""
        return {
            "apiKey": session.api_key if known else None,
            "authorizedSince": millis(session.authorized_since) if known else None,
            "connectedSince": millis(session.since),
            "returnRateLimits": request.show_limits,
            "serverTime": millis(self._desk.clock()),
            "userDataStream": bool(self._streams.of(session.connection)),
        }

    def _log_out(self, session: _Session, request: _Request) -> Json:
        self._streams.unsubscribe(session.connection, None)
        session.account = session.api_key = ""
        return self._session_status(session, request)

    # -- user data

    def _subscribe_session(self, session: _Session, request: _Request) -> Json:
        if not session.account:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
        return {"subscriptionId": self._streams.subscribe(session.connection, session.account)}

    def _subscribe_signed(self, session: _Session, request: _Request) -> Json:
        request.params.check(("timestamp",), ())
        who = self._gate.authenticate(request.params, request.credentials)
        return {"subscriptionId": self._streams.subscribe(session.connection, who)}

    def _unsubscribe(self, session: _Session, request: _Request) -> Json:
        request.params.check((), ("subscriptionId",))
        given = request.params.integer("subscriptionId")
        if not self._streams.unsubscribe(session.connection, given):
            raise ApiError(-1130, "Data sent for parameter 'subscriptionId' is not valid.")
        return {}

    def _subscriptions(self, session: _Session, request: _Request) -> list[Json]:
        own = self._streams.of(session.connection)
        return [{"subscriptionId": subscription.id} for subscription in own]


def _read(text: str, session: _Session) -> _Request:
    """Raises :class:`ApiError` when it isn't a request at all."""
    try:
        raw = json.loads(text)
        method = str(raw["method"]).removeprefix("v3/")
        given = dict(raw.get("params") or {})
    except (ValueError, KeyError, TypeError):
        raise ApiError(-1135, "Invalid JSON Request") from None
    show_limits = given.pop("returnRateLimits", session.show_limits)
    values = {name: _text(value) for name, value in given.items()}
    # Signed are all parameters but the signature, by name, as they are in the request.
    signed = "&".join(f"{k}={v}" for k, v in sorted(values.items()) if k != "signature")
    credentials = Credentials(
        values.get("apiKey"), signed.encode(), values.get("signature"), session.account or None
    )
    return _Request(raw.get("id"), method, Params(values), credentials, bool(show_limits))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _farewell(now: int) -> Json:
    return {"event": {"e": "serverShutdown", "E": now}}


class _Tasks:
    """Tasks that end with a block."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def __aenter__(self) -> _Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
