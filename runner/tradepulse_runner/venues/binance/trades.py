"""Own trades, read to their end: a cursor a symbol, and whose order each trade belongs to."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from tradepulse_runner.domain import Trade, TradePage, VenueOrder
from tradepulse_runner.errors import OrderNotFound, StateError
from tradepulse_runner.venues.binance.rest import Call, Rest
from tradepulse_runner.venues.binance.wire import Fees, Malformed, client_id_from, trade_from
from tradepulse_runner.venues.http import together

PAGE = 1000
#: Orders whose client id is remembered; beyond, the venue is asked again.
REMEMBERED = 20_000
NONE_YET = -1


class Owners:
    """Client ids by (symbol, order id): ``myTrades`` names an order only by Binance's own id."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, order: VenueOrder) -> None:
        self.note(order.order.symbol, order.venue_id, order.client_id)

    def note(self, symbol: str, order_id: str, client_id: str) -> None:
        self._known[symbol, order_id] = client_id
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def get(self, symbol: str, order_id: str) -> str | None:
        return self._known.get((symbol, order_id))


class TradeReader:
    """Pages through ``GET /api/v3/myTrades``. The cursor is JSON: {symbol: last trade id}; the
    matching engine numbers a symbol's trades in order, so nothing can appear behind it.

    A symbol that is no longer traded stays in the cursor and goes on being read: an order of it
    may still be open.
    """

    def __init__(self, rest: Rest, owners: Owners, symbols: Iterable[str]) -> None:
        self._rest, self._owners = rest, owners
        self._symbols = frozenset(symbols)
        self.fees = Fees(())

    async def since(self, cursor: str | None) -> TradePage:
        """See :meth:`ExecutionConnector.trades_since`."""
        last = {} if cursor is None else _parse(cursor)
        symbols = sorted(self._symbols | last.keys())
        # A symbol that the cursor doesn't know has had no order of ours yet.
        reads = await together(self._read(symbol, last.get(symbol)) for symbol in symbols)
        trades: list[Trade] = []
        reached = {}
        for symbol, (page, newest) in zip(symbols, reads, strict=True):
            trades += page
            reached[symbol] = newest
        trades.sort(key=lambda trade: trade.timestamp)
        return TradePage(tuple(trades), json.dumps(reached, separators=(",", ":")))

    async def _read(self, symbol: str, last: int | None) -> tuple[list[Trade], int]:
        """One symbol's trades after ``last`` and the id of the newest; None: only the id."""
        if last is None:
            newest = await self._page(symbol, {"limit": "1"})
            return [], (newest[-1]["id"] if newest else NONE_YET)
        trades: list[Trade] = []
        while True:
            page = await self._page(symbol, {"fromId": str(last + 1), "limit": str(PAGE)})
            for raw in page:
                trades.append(trade_from(raw, await self._owner(symbol, raw), self.fees))
                last = max(last, raw["id"])
            if len(page) < PAGE:
                return trades, last

    async def _page(self, symbol: str, params: dict[str, str]) -> list[dict[str, Any]]:
        call = Call("GET", "/api/v3/myTrades", {"symbol": symbol, **params}, 20)
        page = await self._rest.signed(call)
        if not isinstance(page, list) or not all(_is_trade(raw) for raw in page):
            raise Malformed(f"unexpected trades of {symbol}: {str(page)[:200]}")
        return page

    async def _owner(self, symbol: str, raw: dict[str, Any]) -> str:
        order_id = str(raw["orderId"])
        if (known := self._owners.get(symbol, order_id)) is not None:
            return known
        params = {"symbol": symbol, "orderId": order_id}
        try:
            order = await self._rest.signed(Call("GET", "/api/v3/order", params, 4))
        except OrderNotFound as error:
            # It traded, so it exists; Binance's databases are not of one moment.
            raise Malformed(f"trade {raw['id']} of {symbol}: order {order_id}: {error}") from error
        # Only the id: another's order may be of a kind that we can't even show.
        client_id = client_id_from(order)
        self._owners.note(symbol, order_id, client_id)
        return client_id


def _is_trade(raw: Any) -> bool:
    return isinstance(raw, dict) and type(raw.get("id")) is int and "orderId" in raw


def _parse(cursor: str) -> dict[str, int]:
    try:
        return {str(symbol): int(last) for symbol, last in json.loads(cursor).items()}
    except (ValueError, TypeError, AttributeError):
        raise StateError(
            f"the trade cursor {cursor[:80]!r} is not one of Binance; remedy: give the venue "
            "another name, or set its state aside with cold_start"
        ) from None
