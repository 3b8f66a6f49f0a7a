"""Market streams: best prices, trades, depth, raw at ``/ws`` or combined at ``/stream``."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict

from aiohttp import web

from tests.support.venues.binance import market
from tests.support.venues.binance.desk import Desk
from tests.support.venues.binance.sockets import Connection, Sockets
from tests.support.venues.binance.views import Json, millis, number
from tests.support.venues.exchange import BookChanged, Event, Quote, Side, Traded

_NAME = re.compile(r"^([a-z0-9]+)@(bookTicker|trade|depth(?:5|10|20)?(?:@1000?ms)?)$")


class MarketStreams:
    """Events of one request to the exchange go out together, as one depth update and at most one
    best price; the documented speeds (``@100ms``) are taken as "at once"."""

    def __init__(self, desk: Desk, sockets: Sockets) -> None:
        self._desk = desk
        self._sockets = sockets
        self._listeners: dict[str, list[_Listener]] = defaultdict(list)
        self._changes: dict[str, list[BookChanged]] = defaultdict(list)
        self._told: dict[str, int] = defaultdict(int)  # last update number of depth, by symbol
        self._best: dict[str, Quote] = {}
        self._flush_due = False
        desk.exchange.subscribe(self._on_event)

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/ws", self._raw)
        app.router.add_get("/ws/{streams:.*}", self._raw)
        app.router.add_get("/stream", self._combined)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.match_info.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=True)

    async def _serve(
        self, request: web.Request, names: list[str], *, combined: bool
    ) -> web.StreamResponse:
        farewell = _farewell_combined if combined else _farewell
        async with self._sockets.accept(request, farewell) as (connection, socket):
            listener = _Listener(connection, combined)
            for name in names:
                self._subscribe(listener, name)
            try:
                async for text in connection.messages():
                    connection.send(self._answer(listener, text))
            finally:
                for name in list(listener.names):
                    self._unsubscribe(listener, name)
        return socket

    def _answer(self, listener: _Listener, text: str) -> Json:
        try:
            raw = json.loads(text)
            method, names, given = raw["method"], raw.get("params", []), raw.get("id")
        except (ValueError, KeyError, TypeError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected value"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(listener.names), "id": given}
        act = {"SUBSCRIBE": self._subscribe, "UNSUBSCRIBE": self._unsubscribe}.get(method)
        if act is None:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant {method}"}}
        for name in names:
            act(listener, name)
        return {"result": None, "id": given}

    def _subscribe(self, listener: _Listener, name: str) -> None:
        """A stream that doesn't exist never says anything, as there."""
        if name not in listener.names:
            listener.names.add(name)
            self._listeners[name].append(listener)

    def _unsubscribe(self, listener: _Listener, name: str) -> None:
        if name in listener.names:
            listener.names.remove(name)
            self._listeners[name].remove(listener)

    # -- what is said

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Traded):
            self._say(f"{event.symbol.lower()}@trade", self._trade(event))
        elif isinstance(event, BookChanged):
            self._changes[event.symbol].append(event)
            if not self._flush_due:
                self._flush_due = True
                asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        changes, self._changes = self._changes, defaultdict(list)
        for symbol, levels in changes.items():
            stem = symbol.lower()
            self._tell_best(symbol)
            last = self._desk.tape.updates[symbol]
            update = self._depth(symbol, levels, self._told[symbol] + 1, last)
            self._told[symbol] = last
            for name, listeners in list(self._listeners.items()):
                found = _NAME.match(name)
                if not listeners or not found or found[1] != stem:
                    continue
                kind = found[2].partition("@")[0]
                if kind == "depth":
                    self._say(name, update)
                elif kind.startswith("depth"):
                    limit = int(kind.removeprefix("depth"))
                    levels_now = market.levels(self._desk, symbol, limit)
                    self._say(name, {"lastUpdateId": last, **levels_now})

    def _tell_best(self, symbol: str) -> None:
        best = self._desk.exchange.quote(symbol)
        if best == self._best.get(symbol):
            return
        self._best[symbol] = best
        self._say(
            f"{symbol.lower()}@bookTicker",
            {
                "u": self._desk.tape.updates[symbol],
                "s": symbol,
                "b": number(best.bid),
                "B": number(best.bid_quantity),
                "a": number(best.ask),
                "A": number(best.ask_quantity),
            },
        )

    def _depth(self, symbol: str, levels: list[BookChanged], first: int, last: int) -> Json:
        sides = {
            key: [[number(c.price), number(c.quantity)] for c in levels if c.side is side]
            for key, side in (("b", Side.BUY), ("a", Side.SELL))
        }
        now = millis(self._desk.clock())
        return {"e": "depthUpdate", "E": now, "s": symbol, "U": first, "u": last, **sides}

    def _trade(self, event: Traded) -> Json:
        return {
            "e": "trade",
            "E": millis(self._desk.clock()),
            "s": event.symbol,
            "t": event.id,
            "p": number(event.price),
            "q": number(event.quantity),
            "T": millis(event.time),
            "m": event.taker is Side.SELL,
            "M": True,
        }

    def _say(self, name: str, payload: Json) -> None:
        for listener in self._listeners.get(name, []):
            message = {"stream": name, "data": payload} if listener.combined else payload
            listener.connection.tell(message)


class _Listener:
    def __init__(self, connection: Connection, combined: bool) -> None:
        self.connection = connection
        self.combined = combined
        self.names: set[str] = set()


def _farewell(now: int) -> Json:
    return {"e": "serverShutdown", "E": now}


def _farewell_combined(now: int) -> Json:
    return {"stream": "serverShutdown", "data": _farewell(now)}
