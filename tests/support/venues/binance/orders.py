"""Endpoints that place, cancel and show orders."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from tests.support.venues.binance import errors, views
from tests.support.venues.binance.desk import Call, Desk, Endpoint
from tests.support.venues.binance.errors import ApiError, mandatory
from tests.support.venues.binance.params import CLIENT_ID, Params
from tests.support.venues.binance.views import Json
from tests.support.venues.exchange import Force, Kind, NewOrder, OrderView, Refused, SelfTrade, Side

Word = TypeVar("Word", bound=StrEnum)

_NEW_ORDER = (
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "newOrderRespType",
    "selfTradePreventionMode",
    "strategyId",
    "strategyType",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
)


def place(desk: Desk, call: Call) -> Json:
    order = read_order(call.params)
    desk.limits.charge_order(call.account)
    try:
        view = desk.exchange.place(call.account, order)
    except Refused as refused:
        raise errors.of(refused) from refused
    wanted = call.params.text("newOrderRespType") or ("ACK" if order.post_only else "FULL")
    if wanted == "ACK":
        return views.acknowledged(view)
    if wanted == "RESULT":
        return views.placed(view)
    fills = desk.exchange.fills(call.account, view.symbol)
    return views.placed_in_full(view, [fill for fill in fills if fill.order_id == view.id])


def test(desk: Desk, call: Call) -> Json:
    """Checks the parameters, and does not reach the matching engine."""
    order = read_order(call.params)
    if order.symbol not in desk.exchange.markets:
        raise ApiError(-1121, "Invalid symbol.")
    return {}


def read_order(params: Params) -> NewOrder:
    """Raises :class:`ApiError` for what contradicts or lacks something."""
    kind = params.need("type")
    side = _word(params, "side", Side, ApiError(-1117, "Invalid side."))
    assert side is not None, "it is mandatory"
    _shape(params, kind)
    force = _word(params, "timeInForce", Force, ApiError(-1115, "Invalid timeInForce."))
    mode = _word(
        params,
        "selfTradePreventionMode",
        SelfTrade,
        ApiError(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
    )
    return NewOrder(
        symbol=params.need("symbol"),
        side=side,
        client_id=params.match("newClientOrderId", CLIENT_ID) or _made_up(),
        quantity=params.decimal("quantity"),
        price=params.decimal("price"),
        kind=Kind.MARKET if kind == "MARKET" else Kind.LIMIT,
        force=force or Force.GTC,
        post_only=kind == "LIMIT_MAKER",
        quote_quantity=params.decimal("quoteOrderQty"),
        self_trade=mode or SelfTrade.EXPIRE_MAKER,
    )


def _shape(params: Params, kind: str) -> None:
    """Which parameters an order type demands and excludes."""
    if kind not in _SHAPES:
        if kind in _CONTINGENT:
            name = kind.replace("_", " ").capitalize()
            raise ApiError(-2010, f"{name} orders are not supported for this symbol.")
        raise ApiError(-1116, "Invalid orderType.")
    needed, excluded = _SHAPES[kind]
    for name in needed:
        if params.text(name) is None:
            raise mandatory(name)
    for name in (*excluded, "stopPrice", "trailingDelta", "icebergQty"):
        if params.text(name) is not None:
            raise ApiError(-1106, f"Parameter '{name}' sent when not required.")
    if kind == "MARKET" and (params.text("quantity") is None) == (
        params.text("quoteOrderQty") is None
    ):
        raise ApiError(
            -1102,
            "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!",
        )


_SHAPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LIMIT": (("timeInForce", "quantity", "price"), ("quoteOrderQty",)),
    "LIMIT_MAKER": (("quantity", "price"), ("quoteOrderQty", "timeInForce")),
    "MARKET": ((), ("price", "timeInForce")),
}
_CONTINGENT = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})


def _word(params: Params, name: str, words: type[Word], otherwise: ApiError) -> Word | None:
    value = params.text(name)
    if value is None:
        return None
    try:
        return words(value)
    except ValueError:
        raise otherwise from None


def _made_up() -> str:
    return uuid.uuid4().hex[:22]


def query(desk: Desk, call: Call) -> Json:
    found = _find(desk, call)
    if found is None:
        raise errors.no_such_order()
    return views.queried(found)


def cancel(desk: Desk, call: Call) -> Json:
    found = _find(desk, call)
    restriction = call.params.text("cancelRestrictions")
    if (
        found is not None
        and found.status.open
        and restriction not in (None, f"ONLY_{found.status}")
    ):
        raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
    if found is None or not found.status.open:
        raise errors.unknown_order()
    return _cancel(desk, call, found)


def cancel_all(desk: Desk, call: Call) -> list[Json]:
    orders = desk.exchange.open_orders(call.account, _symbol(desk, call.params))
    if not orders:
        raise errors.unknown_order()
    return [_cancel(desk, call, order) for order in orders]


def _cancel(desk: Desk, call: Call, order: OrderView) -> Json:
    cancel_id = call.params.match("newClientOrderId", CLIENT_ID) or _made_up()
    desk.cancel_ids[order.id] = cancel_id
    return views.cancelled(desk.exchange.cancel(call.account, order.id), cancel_id)


def _find(desk: Desk, call: Call) -> OrderView | None:
    """By the venue's id, else the newest order that had the client's id; both must fit."""
    symbol = _symbol(desk, call.params)
    order_id = call.params.integer("orderId")
    client_id = call.params.text("origClientOrderId")
    if order_id is None and client_id is None:
        raise ApiError(
            -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    if order_id is None:
        assert client_id is not None
        return next(iter(desk.exchange.by_client_id(call.account, client_id, symbol)), None)
    try:
        found = desk.exchange.order(call.account, order_id)
    except Refused:
        return None
    return found if found.symbol == symbol and client_id in (None, found.client_id) else None


def _symbol(desk: Desk, params: Params) -> str:
    symbol = params.need("symbol")
    if symbol not in desk.exchange.markets:
        raise ApiError(-1121, "Invalid symbol.")
    return symbol


def open_orders(desk: Desk, call: Call) -> list[Json]:
    symbol = None if call.params.text("symbol") is None else _symbol(desk, call.params)
    return [views.queried(order) for order in desk.exchange.open_orders(call.account, symbol)]


def all_orders(desk: Desk, call: Call) -> list[Json]:
    """From ``orderId`` on, oldest first; else the newest ones."""
    params = call.params
    orders = desk.exchange.orders(call.account, _symbol(desk, params))
    start, end = params.integer("startTime"), params.integer("endTime")
    first = params.integer("orderId")
    limit = params.limit(1000)
    fitting = [
        order
        for order in orders
        if (first is None or order.id >= first)
        and (start is None or views.millis(order.created) >= start)
        and (end is None or views.millis(order.created) <= end)
    ]
    oldest_first = first is not None or start is not None
    return [views.queried(o) for o in (fitting[:limit] if oldest_first else fitting[-limit:])]


_FIND = ("orderId", "origClientOrderId")
PLACE = Endpoint(place, 1, "place", ("symbol", "side", "type"), _NEW_ORDER, counts_as_order=True)
TEST = Endpoint(
    test, 1, "market", ("symbol", "side", "type"), (*_NEW_ORDER, "computeCommissionRates")
)
QUERY = Endpoint(query, 4, "query", ("symbol",), _FIND)
CANCEL = Endpoint(
    cancel, 1, "cancel", ("symbol",), (*_FIND, "newClientOrderId", "cancelRestrictions")
)
CANCEL_ALL = Endpoint(cancel_all, 1, "cancel", ("symbol",))
OPEN = Endpoint(
    open_orders, lambda params: 6 if params.text("symbol") else 80, "open_orders", (), ("symbol",)
)
ALL = Endpoint(all_orders, 20, "query", ("symbol",), ("orderId", "startTime", "endTime", "limit"))
