"""Binance's JSON into our values and back. Money is never a float on the way.

Every function raises :class:`Malformed` for what doesn't have the documented shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ParamSpec, TypeVar

from tradepulse_runner.domain import (
    ZERO,
    Instrument,
    Order,
    OrderStatus,
    OrderType,
    Positions,
    Quote,
    Side,
    Trade,
    VenueOrder,
)
from tradepulse_runner.errors import OutcomeUnknown

P = ParamSpec("P")
T = TypeVar("T")

#: ``enums.md``, "Order status". What expired was accepted, and is over: cancelled, in our words.
STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.CANCELLED,
    "EXPIRED_IN_MATCH": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}


class Malformed(OutcomeUnknown):
    """An answer that isn't what the documentation promises: it settles nothing."""


def _or_malformed(parse: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors of an unexpected shape into :class:`Malformed`."""

    def parsed(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return parse(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            shown = str(args[0])[:200]
            raise Malformed(f"unexpected answer ({type(error).__name__}): {shown}") from error

    return parsed


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol: its two assets, whether it trades, and its steps."""

    symbol: str
    base: str
    quote: str
    status: str
    instrument: Instrument


class Fees:
    """Whose position a commission was taken from, given the traded markets."""

    def __init__(self, markets: Iterable[Market]) -> None:
        markets = list(markets)
        self._by_base = {market.base: market.symbol for market in markets}
        self._quotes = {market.symbol: market.quote for market in markets}

    def of(self, symbol: str, amount: Any, asset: Any) -> tuple[Decimal, str]:
        """(fee, fee_symbol) of a :class:`~tradepulse_runner.domain.Trade`."""
        fee = Decimal(amount or 0)
        if not fee or asset == self._quotes.get(symbol):
            return fee, ""
        position = self._by_base.get(asset)
        return (fee, position) if position is not None else (ZERO, "")


# -- out -----------------------------------------------------------------------------------


def plain(number: Decimal) -> str:
    """Digits without an exponent or trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_params(order: Order, client_id: str) -> dict[str, str]:
    """Parameters of ``POST /api/v3/order``."""
    params = {
        "symbol": order.symbol,
        "side": order.side.upper(),
        "type": order.type.upper(),
        "quantity": plain(order.quantity),
        "newClientOrderId": client_id,
        "newOrderRespType": "RESULT",
    }
    if order.price is not None:
        params |= {"price": plain(order.price), "timeInForce": "GTC"}
    return params


# -- in: REST ------------------------------------------------------------------------------


@_or_malformed
def order_from(raw: Mapping[str, Any]) -> VenueOrder:
    """An order as any order endpoint shows it. A cancel's own id is not the order's."""
    return VenueOrder(
        client_id_from(raw),
        str(raw["orderId"]),
        _order(raw["symbol"], raw["side"], raw["type"], raw["origQty"], raw["price"]),
        STATUSES[raw["status"]],
        Decimal(raw["executedQty"]),
    )


@_or_malformed
def client_id_from(raw: Mapping[str, Any]) -> str:
    """The client id alone of what :func:`order_from` reads."""
    return str(raw.get("origClientOrderId") or raw["clientOrderId"])


@_or_malformed
def trade_from(raw: Mapping[str, Any], client_id: str, fees: Fees) -> Trade:
    """An element of ``GET /api/v3/myTrades``, which lacks the client id."""
    symbol = raw["symbol"]
    fee, fee_symbol = fees.of(symbol, raw["commission"], raw["commissionAsset"])
    return Trade(
        trade_id(symbol, raw["id"]),
        client_id,
        symbol,
        Side.BUY if raw["isBuyer"] else Side.SELL,
        _traded(raw["price"]),
        _traded(raw["qty"]),
        raw["time"] / 1000,
        fee,
        fee_symbol,
    )


@_or_malformed
def positions_from(raw: Mapping[str, Any], markets: Mapping[str, Market]) -> Positions:
    """Balances in ``GET /api/v3/account`` of each market's base asset, free and locked."""
    balances = {b["asset"]: Decimal(b["free"]) + Decimal(b["locked"]) for b in raw["balances"]}
    return {m.symbol: balances[m.base] for m in markets.values() if balances.get(m.base)}


@_or_malformed
def markets_from(raw: Mapping[str, Any]) -> dict[str, Market]:
    """The symbols of ``GET /api/v3/exchangeInfo``."""
    return {
        one["symbol"]: Market(
            one["symbol"], one["baseAsset"], one["quoteAsset"], one["status"], _instrument(one)
        )
        for one in raw["symbols"]
    }


@_or_malformed
def weight_limit_from(raw: Mapping[str, Any], default: int) -> int:
    """The weight a minute that ``GET /api/v3/exchangeInfo`` allows."""
    for limit in raw.get("rateLimits", ()):
        if (limit["rateLimitType"], limit["interval"]) == ("REQUEST_WEIGHT", "MINUTE"):
            return int(limit["limit"]) // int(limit["intervalNum"])
    return default


@_or_malformed
def ticker_from(raw: Mapping[str, Any], now: float) -> tuple[str, Quote | None]:
    """One of ``GET /api/v3/ticker/bookTicker``; no quote while a side is empty."""
    return raw["symbol"], _quote(raw["bidPrice"], raw["askPrice"], now)


# -- in: streams ---------------------------------------------------------------------------


@_or_malformed
def book_ticker_from(raw: Mapping[str, Any], now: float) -> tuple[str, int, Quote | None]:
    """``<symbol>@bookTicker``: symbol, update id, quote. The event has no time of its own."""
    return raw["s"], int(raw["u"]), _quote(raw["b"], raw["a"], now)


@_or_malformed
def report_from(raw: Mapping[str, Any], fees: Fees) -> tuple[VenueOrder, Trade | None]:
    """``executionReport``: the order, and the trade if it has one."""
    # "c" is the id of the request; of a cancelled order, "C" is the order's own.
    client_id = raw.get("C") or raw["c"]
    symbol, side = raw["s"], raw["S"]
    order = VenueOrder(
        client_id,
        str(raw["i"]),
        _order(symbol, side, raw["o"], raw["q"], raw["p"]),
        STATUSES[raw["X"]],
        Decimal(raw["z"]),
    )
    if raw["x"] != "TRADE":
        return order, None
    fee, fee_symbol = fees.of(symbol, raw["n"], raw["N"])
    trade = Trade(
        trade_id(symbol, raw["t"]),
        client_id,
        symbol,
        Side(side.lower()),
        _traded(raw["L"]),
        _traded(raw["l"]),
        raw["T"] / 1000,
        fee,
        fee_symbol,
    )
    return order, trade


# -- parts ---------------------------------------------------------------------------------


def _traded(text: str) -> Decimal:
    """Price or quantity of a trade: without one there was none, and a made-up one is worse."""
    quantity = Decimal(text)
    if not quantity.is_finite() or quantity <= 0:
        raise ValueError(f"nothing trades for {text!r}")
    return quantity


def trade_id(symbol: str, number: int) -> str:
    """Binance counts trades a symbol; with the symbol, the id is unique at the venue."""
    return f"{symbol}:{int(number)}"


def _order(symbol: str, side: str, kind: str, quantity: str, price: str) -> Order:
    """Kinds that we don't send (stops, for instance) are another's orders: shown by their price."""
    limit = Decimal(price)
    if kind == "MARKET" or not limit:
        return Order(symbol, Side(side.lower()), Decimal(quantity), OrderType.MARKET)
    return Order(symbol, Side(side.lower()), Decimal(quantity), OrderType.LIMIT, limit)


def _instrument(raw: Mapping[str, Any]) -> Instrument:
    """``filters.md``; a step of 0 means that the rule is off, then the precision is the step."""
    filters = {one["filterType"]: one for one in raw["filters"]}
    lot = filters["LOT_SIZE"]
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return Instrument(
        tick=_step(filters["PRICE_FILTER"]["tickSize"], raw.get("quoteAssetPrecision", 8)),
        lot=_step(lot["stepSize"], raw.get("baseAssetPrecision", 8)),
        min_quantity=Decimal(lot["minQty"]),
        min_notional=Decimal(notional.get("minNotional", 0)),
        shortable=False,
    )


def _step(text: str, digits: int) -> Decimal:
    step = Decimal(text)
    return step.normalize() if step else Decimal(1).scaleb(-digits)


def _quote(bid: str, ask: str, now: float) -> Quote | None:
    best = Quote(Decimal(bid), Decimal(ask), now)
    return best if best.bid > 0 and best.ask > 0 else None
