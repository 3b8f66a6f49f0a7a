"""Endpoints that show an account: balances, trades, order counts."""

from __future__ import annotations

from typing import Any

from tests.support.venues.binance import views
from tests.support.venues.binance.desk import Call, Desk, Endpoint
from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.params import Params
from tests.support.venues.binance.views import Json
from tests.support.venues.exchange import Fill

_DAY = 86_400_000  # ms


def account(desk: Desk, call: Call) -> Json:
    rate = views.number(desk.exchange.fee)
    held = desk.exchange.balances(call.account)
    return {
        "makerCommission": int(desk.exchange.fee * 10000),
        "takerCommission": int(desk.exchange.fee * 10000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": rate,
            "taker": rate,
            "buyer": views.number(None),
            "seller": views.number(None),
        },
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": views.millis(desk.clock()),
        "accountType": "SPOT",
        "balances": views.balances(held, omit_zero=call.params.flag("omitZeroBalances", False)),
        "permissions": ["SPOT"],
        "uid": 1,
    }


def trades(desk: Desk, call: Call) -> list[Json]:
    """From ``fromId`` or ``startTime`` on, oldest first; else the newest ones."""
    params = call.params
    symbol = params.need("symbol")
    if symbol not in desk.exchange.markets:
        raise ApiError(-1121, "Invalid symbol.")
    given = frozenset(name for name in _BOUNDS if params.text(name) is not None)
    if given not in _COMBINATIONS:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    limit = params.limit(1000)
    fitting = [fill for fill in desk.exchange.fills(call.account, symbol) if _fits(fill, params)]
    oldest_first = params.text("fromId") is not None or params.text("startTime") is not None
    return [views.trade(fill) for fill in (fitting[:limit] if oldest_first else fitting[-limit:])]


def _fits(fill: Fill, params: Params) -> bool:
    start, end = params.integer("startTime"), params.integer("endTime")
    first, order = params.integer("fromId"), params.integer("orderId")
    if start is not None and end is not None and end - start > _DAY:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    time = views.millis(fill.time)
    return (
        (first is None or fill.id >= first)
        and (order is None or fill.order_id == order)
        and (start is None or time >= start)
        and (end is None or time <= end)
    )


def order_counts(desk: Desk, call: Call) -> list[dict[str, Any]]:
    return desk.limits.usage(call.account)[:-1]


_BOUNDS = ("orderId", "fromId", "startTime", "endTime")
_COMBINATIONS = frozenset(
    frozenset(names)
    for names in (
        (),
        ("orderId",),
        ("startTime",),
        ("endTime",),
        ("fromId",),
        ("startTime", "endTime"),
        ("orderId", "fromId"),
    )
)
ACCOUNT = Endpoint(account, 20, "account", (), ("omitZeroBalances",))
TRADES = Endpoint(
    trades,
    lambda params: 5 if params.text("orderId") else 20,
    "trades",
    ("symbol",),
    ("orderId", "startTime", "endTime", "fromId", "limit"),
)
ORDER_COUNTS = Endpoint(order_counts, 40, "account")
