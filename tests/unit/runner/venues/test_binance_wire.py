"""Binance's JSON, as its documentation shows it, into our values."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.runner.venues.binance_json import REPORT
from tradepulse_runner.domain import Instrument, Order, OrderStatus, OrderType, Quote, Side
from tradepulse_runner.errors import OutcomeUnknown
from tradepulse_runner.venues.binance.wire import (
    STATUSES,
    Fees,
    Malformed,
    Market,
    book_ticker_from,
    markets_from,
    order_from,
    order_params,
    positions_from,
    report_from,
    ticker_from,
    trade_from,
    weight_limit_from,
)

STEPS = Instrument(Decimal("0.01"), Decimal("0.00001"))
BTC = Market("BTCUSDT", "BTC", "USDT", "TRADING", STEPS)
BNB = Market("BNBUSDT", "BNB", "USDT", "TRADING", STEPS)

# rest-api.md: "New order", response RESULT.
PLACED: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": "6gCrw2kRUAF9CvJDGP16IP",
    "transactTime": 1507725176595,
    "price": "0.00000000",
    "origQty": "10.00000000",
    "executedQty": "10.00000000",
    "origQuoteOrderQty": "0.000000",
    "cummulativeQuoteQty": "10.00000000",
    "status": "FILLED",
    "timeInForce": "GTC",
    "type": "MARKET",
    "side": "SELL",
    "workingTime": 1507725176595,
    "selfTradePreventionMode": "NONE",
}
# "Query order".
QUERIED: dict[str, Any] = {
    "symbol": "LTCBTC",
    "orderId": 1,
    "orderListId": -1,
    "clientOrderId": "myOrder1",
    "price": "0.1",
    "origQty": "1.0",
    "executedQty": "0.0",
    "cummulativeQuoteQty": "0.0",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "stopPrice": "0.0",
    "icebergQty": "0.0",
    "time": 1499827319559,
    "updateTime": 1499827319559,
    "isWorking": True,
    "workingTime": 1499827319559,
    "origQuoteOrderQty": "0.000000",
    "selfTradePreventionMode": "NONE",
}
# "Cancel order".
CANCELLED: dict[str, Any] = {
    "symbol": "LTCBTC",
    "origClientOrderId": "myOrder1",
    "orderId": 4,
    "orderListId": -1,
    "clientOrderId": "cancelMyOrder1",
    "transactTime": 1684804350068,
    "price": "2.00000000",
    "origQty": "1.00000000",
    "executedQty": "0.00000000",
    "origQuoteOrderQty": "0.000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "CANCELED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "selfTradePreventionMode": "NONE",
}
# "Account trade list".
TRADED: dict[str, Any] = {
    "symbol": "BNBUSDT",
    "id": 28457,
    "orderId": 100234,
    "orderListId": -1,
    "price": "4.00000100",
    "qty": "12.00000000",
    "quoteQty": "48.000012",
    "commission": "10.10000000",
    "commissionAsset": "BNB",
    "time": 1499865549590,
    "isBuyer": True,
    "isMaker": False,
    "isBestMatch": True,
}


def test_a_placed_market_order() -> None:
    found = order_from(PLACED)
    assert found.client_id == "6gCrw2kRUAF9CvJDGP16IP"
    assert found.venue_id == "28"
    assert found.order == Order("BTCUSDT", Side.SELL, Decimal(10), OrderType.MARKET)
    assert (found.status, found.filled) == (OrderStatus.FILLED, Decimal(10))


def test_a_queried_limit_order_is_the_one_that_was_sent() -> None:
    found = order_from(QUERIED)
    sent = Order("LTCBTC", Side.BUY, Decimal(1), price=Decimal("0.10"))
    assert found.order.body_hash() == sent.body_hash()
    assert (found.status, found.filled) == (OrderStatus.OPEN, Decimal(0))


def test_a_cancel_has_the_id_of_the_order_not_of_the_request() -> None:
    found = order_from(CANCELLED)
    assert (found.client_id, found.venue_id) == ("myOrder1", "4")
    assert found.status is OrderStatus.CANCELLED


def test_every_documented_status_is_known() -> None:
    documented = {
        "NEW",
        "PENDING_NEW",
        "PARTIALLY_FILLED",
        "FILLED",
        "CANCELED",
        "PENDING_CANCEL",
        "REJECTED",
        "EXPIRED",
        "EXPIRED_IN_MATCH",
    }
    assert documented == STATUSES.keys()
    for text in documented:
        order_from({**QUERIED, "status": text})


def test_another_persons_stop_order_can_be_shown() -> None:
    stop = order_from({**QUERIED, "type": "STOP_LOSS", "price": "0.00000000"})
    assert stop.order.type is OrderType.MARKET
    limit = order_from({**QUERIED, "type": "STOP_LOSS_LIMIT"})
    assert limit.order.price == Decimal("0.1")


def test_parameters_of_an_order() -> None:
    order = Order("BTCUSDT", Side.SELL, Decimal("0.00100"), price=Decimal("6.1E+4"))
    assert order_params(order, "id-1") == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "quantity": "0.001",
        "price": "61000",
        "timeInForce": "GTC",
        "newClientOrderId": "id-1",
        "newOrderRespType": "RESULT",
    }
    market = order_params(Order("BTCUSDT", Side.BUY, Decimal(100), OrderType.MARKET), "id-2")
    assert market["quantity"] == "100"
    assert not {"price", "timeInForce"} & market.keys()


@pytest.mark.parametrize(
    ("asset", "fee", "symbol"),
    [
        ("BNB", "10.1", "BNBUSDT"),  # from the position that was just bought
        ("USDT", "10.1", ""),  # from the cash
        ("BTC", "10.1", "BTCUSDT"),  # from another position of ours
        ("EUR", "0", ""),  # from what we don't trade
    ],
)
def test_who_paid_the_fee(asset: str, fee: str, symbol: str) -> None:
    trade = trade_from({**TRADED, "commissionAsset": asset}, "ours", Fees([BTC, BNB]))
    assert (trade.fee, trade.fee_symbol) == (Decimal(fee), symbol)


def test_a_trade_of_the_list() -> None:
    trade = trade_from(TRADED, "ours", Fees([BNB]))
    assert (trade.trade_id, trade.client_id, trade.side) == ("BNBUSDT:28457", "ours", Side.BUY)
    assert (trade.price, trade.quantity) == (Decimal("4.000001"), Decimal(12))
    assert trade.timestamp == 1499865549.590


def test_a_report_of_a_new_order() -> None:
    order, trade = report_from(REPORT, Fees([]))
    assert trade is None
    assert (order.client_id, order.venue_id) == ("mUvoqJxFIILMdfAW5iGSOW", "4293153")
    assert order.order == Order("ETHBTC", Side.BUY, Decimal(1), price=Decimal("0.10264410"))


def test_a_report_of_a_fill_is_the_same_trade_as_the_lists() -> None:
    fill = {
        **REPORT,
        **{"s": "BNBUSDT", "x": "TRADE", "X": "PARTIALLY_FILLED", "z": "12", "q": "20"},
        **{"l": "12.00000000", "L": "4.00000100", "t": 28457, "T": 1499865549590},
        **{"n": "10.10000000", "N": "BNB", "c": "ours"},
    }
    fees = Fees([BNB])
    order, trade = report_from(fill, fees)
    assert trade == trade_from(TRADED, "ours", fees)
    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal(12))


def test_a_report_of_a_cancel_names_the_order() -> None:
    cancel = {**REPORT, "x": "CANCELED", "X": "CANCELED", "c": "web_cancel", "C": "ours"}
    order, trade = report_from(cancel, Fees([]))
    assert (order.client_id, order.status, trade) == ("ours", OrderStatus.CANCELLED, None)


def test_positions_are_base_assets_free_and_locked() -> None:
    account = {
        "balances": [
            {"asset": "BTC", "free": "4723846.89208129", "locked": "0.10000000"},
            {"asset": "LTC", "free": "4763368.68006011", "locked": "0.00000000"},
            {"asset": "BNB", "free": "0.00000000", "locked": "0.00000000"},
        ]
    }
    markets = {m.symbol: m for m in (BTC, BNB)}
    assert positions_from(account, markets) == {"BTCUSDT": Decimal("4723846.99208129")}


INFO: dict[str, Any] = {
    "rateLimits": [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    ],
    "symbols": [
        {
            "symbol": "ETHBTC",
            "status": "TRADING",
            "baseAsset": "ETH",
            "baseAssetPrecision": 8,
            "quoteAsset": "BTC",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "filters": [
                # filters.md
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": "0.00000100",
                    "maxPrice": "100000.00000000",
                    "tickSize": "0.00000100",
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": "0.00100000",
                    "maxQty": "100000.00000000",
                    "stepSize": "0.00100000",
                },
                {
                    "filterType": "NOTIONAL",
                    "minNotional": "10.00000000",
                    "applyMinToMarket": False,
                    "maxNotional": "10000.00000000",
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                },
            ],
        }
    ],
}


def test_markets_and_their_steps() -> None:
    market = markets_from(INFO)["ETHBTC"]
    assert (market.base, market.quote, market.status) == ("ETH", "BTC", "TRADING")
    steps = Instrument(Decimal("0.000001"), Decimal("0.001"), Decimal("0.001"), Decimal(10), False)
    assert market.instrument == steps
    assert weight_limit_from(INFO, 1) == 6000
    assert weight_limit_from({}, 1234) == 1234


def test_a_step_of_zero_means_that_only_the_precision_binds() -> None:
    info = json.loads(json.dumps(INFO).replace('"tickSize": "0.00000100"', '"tickSize": "0.0"'))
    assert markets_from(info)["ETHBTC"].instrument.tick == Decimal("1E-8")


def test_quotes() -> None:
    told = {"u": 400900217, "s": "BNBUSDT", "b": "25.35190000", "B": "31.21", "a": "25.3652"}
    quote = Quote(Decimal("25.3519"), Decimal("25.3652"), 5.0)
    assert book_ticker_from(told, 5.0) == ("BNBUSDT", 400900217, quote)
    read = {"symbol": "BNBUSDT", "bidPrice": "25.35190000", "askPrice": "25.3652"}
    assert ticker_from(read, 5.0) == ("BNBUSDT", quote)
    assert ticker_from({**read, "askPrice": "0.00000000"}, 5.0) == ("BNBUSDT", None)


@pytest.mark.parametrize(
    "strange",
    [
        {},
        [],
        None,
        "order",
        {**QUERIED, "status": "ASTONISHED"},
        {**QUERIED, "executedQty": "much"},
        {**QUERIED, "origQty": "NaN"},
        {**QUERIED, "side": None},
        {key: value for key, value in QUERIED.items() if key != "clientOrderId"},
    ],
)
def test_a_strange_answer_settles_nothing(strange: Any) -> None:
    with pytest.raises(Malformed, match="unexpected answer"):
        order_from(strange)
    assert issubclass(Malformed, OutcomeUnknown)
