"""The REST API: HTTP in front of the endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from tests.support.venues.binance import account, market, orders
from tests.support.venues.binance.desk import Desk, Endpoint
from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.gate import Credentials, Gate, NoAnswer, Reset
from tests.support.venues.binance.params import Params

ROUTES: Mapping[tuple[str, str], Endpoint] = {
    ("GET", "ping"): market.PING,
    ("GET", "time"): market.TIME,
    ("GET", "exchangeInfo"): market.INFO,
    ("GET", "depth"): market.DEPTH,
    ("GET", "trades"): market.TRADES,
    ("GET", "avgPrice"): market.AVERAGE,
    ("GET", "ticker/bookTicker"): market.BOOK_TICKER,
    ("GET", "ticker/price"): market.PRICE,
    ("POST", "order"): orders.PLACE,
    ("POST", "order/test"): orders.TEST,
    ("GET", "order"): orders.QUERY,
    ("DELETE", "order"): orders.CANCEL,
    ("GET", "openOrders"): orders.OPEN,
    ("DELETE", "openOrders"): orders.CANCEL_ALL,
    ("GET", "allOrders"): orders.ALL,
    ("GET", "account"): account.ACCOUNT,
    ("GET", "myTrades"): account.TRADES,
    ("GET", "rateLimit/order"): account.ORDER_COUNTS,
}
_REMOVED = "This endpoint was removed on 2026-02-20; subscribe through the WebSocket API."

Note = Callable[[str, str, Params], None]


class Rest:
    """``note`` is told of each request: method, path, parameters."""

    def __init__(self, desk: Desk, gate: Gate, note: Note) -> None:
        self._desk = desk
        self._gate = gate
        self._note = note

    def add_to(self, app: web.Application) -> None:
        app.router.add_route("*", "/api/v3/userDataStream", _gone)
        app.router.add_route("*", "/api/{rest:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api/v3/")
        body = await request.read()
        query = request.raw_path.partition("?")[2].encode()
        try:
            endpoint = ROUTES.get((request.method, path))
            if endpoint is None:
                return _unknown_path(request.method, path)
            params = read(query, body)
            self._note(request.method, request.path, params)
            answer = await self._gate.pass_through(
                endpoint, params, credentials(request.headers.get("X-MBX-APIKEY"), query, body)
            )
            return web.json_response(answer, headers=self._headers(endpoint, request))
        except ApiError as error:
            headers = self._headers(None, request)
            if error.retry_after is not None:
                headers["Retry-After"] = str(error.retry_after)
            return web.json_response(error.body(), status=error.status, headers=headers)
        except NoAnswer as fault:
            await self._desk.hold(fault.seconds)
            return _hang_up(request)
        except Reset:
            return _hang_up(request)

    def _headers(self, endpoint: Endpoint | None, request: web.Request) -> dict[str, str]:
        used = str(self._desk.limits.used())
        headers = {"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used}
        if endpoint is not None and endpoint.counts_as_order:
            account = self._gate.account_of(request.headers.get("X-MBX-APIKEY"))
            for window, count in self._desk.limits.order_counts(account).items():
                headers[f"x-mbx-order-count-{window.lower()}"] = str(count)
        return headers


def read(query: bytes, body: bytes) -> Params:
    """A parameter in both is taken from the query. Raises :class:`ApiError`."""
    values: dict[str, str] = {}
    for part in (body, query):
        pairs = parse_qsl(part.decode("utf-8", "replace"), keep_blank_values=True)
        if len({name for name, _ in pairs}) < len(pairs):
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        values.update(pairs)
    return Params(values)


def credentials(api_key: str | None, query: bytes, body: bytes) -> Credentials:
    """What was signed is the query and the body as they were sent, byte for byte, one right after
    the other, without the signature."""
    signature = None
    signed = b""
    for part in (query, body):
        kept = []
        for pair in part.split(b"&"):
            if pair.startswith(b"signature="):
                signature = unquote(pair.partition(b"=")[2].decode("ascii", "replace"))
            else:
                kept.append(pair)
        signed += b"&".join(kept)
    return Credentials(api_key, signed, signature)


async def _gone(request: web.Request) -> web.Response:
    return web.json_response({"code": -1020, "msg": _REMOVED}, status=410)


def _unknown_path(method: str, path: str) -> web.Response:
    known = any(path == name for _, name in ROUTES)
    message = f"Request method '{method}' is not supported." if known else f"No endpoint '{path}'."
    return web.json_response({"code": -1020, "msg": message}, status=405 if known else 404)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
