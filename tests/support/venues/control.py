"""The way in for a test when the venue is another process: ``/_kit/``, on the venue's own port.

- ``POST /_kit/faults`` with a fault (or a list) as JSON adds it; ``DELETE`` clears all;
  ``GET`` lists what waits and what struck.
- ``GET /_kit/venue_state?account=NAME``: orders, fills and balances as the exchange has them.
- ``GET /_kit/requests``: what reached the venue.
- ``POST /_kit/crowd`` with ``{"symbol", "price"}`` moves a market, or without takes a step.
- ``POST /_kit/clock`` with ``{"skew": seconds}``: how far the venue's clock is off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from aiohttp import web

from tests.support.venues.exchange import Crowd, Exchange
from tests.support.venues.faults import Fault, Faults
from tests.support.venues.requestlog import Request


class Venue(Protocol):
    """What is controlled. ``clock_skew``: seconds."""

    clock_skew: float

    @property
    def exchange(self) -> Exchange: ...
    @property
    def crowd(self) -> Crowd: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def requests(self) -> Sequence[Request]: ...


Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_control(app: web.Application, venue: Venue) -> None:
    control = _Control(venue)
    app.router.add_get("/_kit/venue_state", control.venue_state)
    app.router.add_get("/_kit/requests", control.requests)
    app.router.add_get("/_kit/faults", control.show_faults)
    app.router.add_delete("/_kit/faults", control.clear_faults)
    app.router.add_post("/_kit/faults", _told(control.add_faults))
    app.router.add_post("/_kit/crowd", _told(control.move))
    app.router.add_post("/_kit/clock", _told(control.skew))


def venue_state(exchange: Exchange, account: str) -> dict[str, Any]:
    """As the exchange has it; decimals are strings, times unix seconds."""
    found = {
        "orders": [asdict(order) for order in exchange.orders(account)],
        "fills": [asdict(fill) for fill in exchange.fills(account)],
        "balances": {a: asdict(b) for a, b in exchange.balances(account).items()},
    }
    return {name: _plain(value) for name, value in found.items()}


class _Control:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    async def venue_state(self, request: web.Request) -> web.Response:
        account = request.query.get("account", "runner")
        return web.json_response(venue_state(self._venue.exchange, account))

    async def requests(self, request: web.Request) -> web.Response:
        return web.json_response([entry._asdict() for entry in self._venue.requests])

    async def show_faults(self, request: web.Request) -> web.Response:
        faults = self._venue.faults
        return web.json_response(
            {
                "pending": [asdict(fault) for fault in faults.pending],
                "fired": [asdict(fault) for fault in faults.fired],
            }
        )

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._venue.faults.clear()
        return web.json_response({})

    async def add_faults(self, body: Any) -> None:
        raw = body if isinstance(body, list) else [body]
        for fault in [Fault.parse(one) for one in raw]:
            self._venue.faults.add(fault)

    async def move(self, body: Any) -> None:
        if not body:
            self._venue.crowd.step()
            return
        symbol = str(body.get("symbol"))
        if symbol not in self._venue.exchange.markets:
            known = ", ".join(self._venue.exchange.markets)
            raise ValueError(f"there is no market {symbol!r}: take one of {known}")
        try:
            self._venue.crowd.move(symbol, Decimal(str(body.get("price"))))
        except InvalidOperation:
            raise ValueError(f"{body.get('price')!r} is no price") from None

    async def skew(self, body: Any) -> None:
        self._venue.clock_skew = float(body["skew"])


def _told(act: Callable[[Any], Awaitable[None]]) -> Handler:
    """Give ``act`` the JSON body; what is wrong with it is answered with 400 and a sentence."""

    async def handle(request: web.Request) -> web.Response:
        try:
            await act(await request.json() if request.can_read_body else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    return handle


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return f"{value:f}" if isinstance(value, Decimal) else value
