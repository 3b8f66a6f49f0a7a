"""Orders, fills and balances in Binance's JSON: numbers are strings of eight decimals, times are
milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tests.support.venues.exchange import Balance, Fill, OrderView

Json = dict[str, Any]


def number(value: Decimal | None) -> str:
    return f"{value or 0:.8f}"


def millis(seconds: float) -> int:
    return int(seconds * 1000)


def order_type(order: OrderView) -> str:
    return "LIMIT_MAKER" if order.post_only else str(order.kind)


def _common(order: OrderView) -> Json:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.filled),
        "origQuoteOrderQty": number(order.quote_quantity),
        "cummulativeQuoteQty": number(order.quote_filled),
        "status": str(order.status),
        "timeInForce": str(order.force),
        "type": order_type(order),
        "side": str(order.side),
        "selfTradePreventionMode": str(order.self_trade),
    }


def queried(order: OrderView) -> Json:
    """As order queries and lists show it."""
    return {
        **_common(order),
        "stopPrice": number(None),
        "icebergQty": number(None),
        "time": millis(order.created),
        "updateTime": millis(order.updated),
        "isWorking": True,
        "workingTime": millis(order.created),
    }


def acknowledged(order: OrderView) -> Json:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": millis(order.created),
    }


def placed(order: OrderView) -> Json:
    times = {"transactTime": millis(order.created), "workingTime": millis(order.created)}
    return {**_common(order), **times}


def placed_in_full(order: OrderView, fills: Iterable[Fill]) -> Json:
    return {
        **placed(order),
        "fills": [
            {
                "price": number(fill.price),
                "qty": number(fill.quantity),
                "commission": number(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.id,
            }
            for fill in fills
        ],
    }


def cancelled(order: OrderView, cancel_id: str) -> Json:
    return {
        **_common(order),
        "origClientOrderId": order.client_id,
        "clientOrderId": cancel_id,
        "transactTime": millis(order.updated),
    }


def trade(fill: Fill) -> Json:
    return {
        "symbol": fill.symbol,
        "id": fill.id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.quote_quantity),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": millis(fill.time),
        "isBuyer": fill.side == "BUY",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def balances(held: Mapping[str, Balance], *, omit_zero: bool = False) -> list[Json]:
    return [
        {"asset": asset, "free": number(balance.free), "locked": number(balance.locked)}
        for asset, balance in sorted(held.items())
        if balance.total or not omit_zero
    ]
