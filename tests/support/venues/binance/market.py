"""Public endpoints: time, rules, books, prices, trades."""

from __future__ import annotations

import json

from tests.support.venues.binance import views
from tests.support.venues.binance.desk import Call, Desk, Endpoint
from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.params import Params
from tests.support.venues.binance.views import Json, number
from tests.support.venues.exchange import Market, SelfTrade, Side

Answer = Json | list[Json]


def ping(desk: Desk, call: Call) -> Json:
    return {}


def time(desk: Desk, call: Call) -> Json:
    return {"serverTime": views.millis(desk.clock())}


def info(desk: Desk, call: Call) -> Json:
    symbols = _symbols(desk, call.params)
    return {
        "timezone": "UTC",
        "serverTime": views.millis(desk.clock()),
        "rateLimits": desk.limits.describe(),
        "exchangeFilters": [],
        "symbols": [_describe(desk, desk.exchange.markets[symbol]) for symbol in symbols],
    }


def _describe(desk: Desk, market: Market) -> Json:
    return {
        "symbol": market.symbol,
        "status": "BREAK" if market.symbol in desk.exchange.halted else "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(market),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": str(SelfTrade.EXPIRE_MAKER),
        "allowedSelfTradePreventionModes": [str(mode) for mode in SelfTrade],
    }


def _filters(market: Market) -> list[Json]:
    lots = {
        "minQty": number(market.min_quantity),
        "maxQty": number(market.max_quantity),
        "stepSize": number(market.lot),
    }
    up, down = f"{market.band_up:f}", f"{market.band_down:f}"
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": number(market.tick),
            "maxPrice": number(market.max_price),
            "tickSize": number(market.tick),
        },
        {"filterType": "LOT_SIZE", **lots},
        {"filterType": "MARKET_LOT_SIZE", **lots},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 0,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": number(market.min_notional),
            "applyMinToMarket": True,
            "maxNotional": number(market.max_price * market.max_quantity),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": market.max_open_orders},
    ]


def depth(desk: Desk, call: Call) -> Json:
    [symbol] = _symbols(desk, call.params)
    return {
        "lastUpdateId": desk.tape.updates[symbol],
        **levels(desk, symbol, call.params.limit(5000, 100)),
    }


def levels(desk: Desk, symbol: str, limit: int) -> Json:
    return {
        name: [[number(p), number(q)] for p, q in desk.exchange.depth(symbol, side, limit)]
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
    }


def book_ticker(desk: Desk, call: Call) -> Answer:
    return _one_or_all(call.params, [_best(desk, symbol) for symbol in _symbols(desk, call.params)])


def _best(desk: Desk, symbol: str) -> Json:
    quote = desk.exchange.quote(symbol)
    return {
        "symbol": symbol,
        "bidPrice": number(quote.bid),
        "bidQty": number(quote.bid_quantity),
        "askPrice": number(quote.ask),
        "askQty": number(quote.ask_quantity),
    }


def price(desk: Desk, call: Call) -> Answer:
    symbols = _symbols(desk, call.params)
    prices = [{"symbol": s, "price": number(desk.exchange.last_price(s))} for s in symbols]
    return _one_or_all(call.params, prices)


def average(desk: Desk, call: Call) -> Json:
    """Of the last trade alone: the price filters here have no averaging either."""
    [symbol] = _symbols(desk, call.params)
    now = views.millis(desk.clock())
    return {"mins": 0, "price": number(desk.exchange.last_price(symbol)), "closeTime": now}


def trades(desk: Desk, call: Call) -> list[Json]:
    [symbol] = _symbols(desk, call.params)
    return [
        {
            "id": trade.id,
            "price": number(trade.price),
            "qty": number(trade.quantity),
            "quoteQty": number(trade.price * trade.quantity),
            "time": views.millis(trade.time),
            "isBuyerMaker": trade.taker is Side.SELL,
            "isBestMatch": True,
        }
        for trade in desk.tape.trades(symbol, call.params.limit(1000))
    ]


def _one_or_all(params: Params, rows: list[Json]) -> Answer:
    return rows if params.text("symbol") is None else rows[0]


def _symbols(desk: Desk, params: Params) -> list[str]:
    """The one named, those listed, or all. Raises :class:`ApiError`."""
    listed = params.text("symbols")
    try:
        wanted = json.loads(listed) if listed else [params.text("symbol")]
    except ValueError:
        raise ApiError(-1135, "JSON sent for parameter 'symbols' is not valid") from None
    if wanted == [None]:
        return list(desk.exchange.markets)
    if not all(symbol in desk.exchange.markets for symbol in wanted):
        raise ApiError(-1121, "Invalid symbol.")
    return [str(symbol) for symbol in wanted]


_SYMBOLS = ("symbol", "symbols")
PING = Endpoint(ping, 1, "market", signed=False)
TIME = Endpoint(time, 1, "market", signed=False)
INFO = Endpoint(
    info,
    20,
    "market",
    optional=(*_SYMBOLS, "permissions", "showPermissionSets", "symbolStatus"),
    signed=False,
)
DEPTH = Endpoint(depth, 5, "market", ("symbol",), ("limit",), signed=False)
TRADES = Endpoint(trades, 25, "market", ("symbol",), ("limit",), signed=False)
BOOK_TICKER = Endpoint(book_ticker, 2, "market", optional=_SYMBOLS, signed=False)
PRICE = Endpoint(price, 2, "market", optional=_SYMBOLS, signed=False)
AVERAGE = Endpoint(average, 2, "market", ("symbol",), signed=False)
