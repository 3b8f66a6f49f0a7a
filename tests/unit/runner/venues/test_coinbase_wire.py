"""Coinbase's JSON <-> the domain."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.runner.venues.coinbase_json import account, fill, order, product, update
from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderStatus,
    OrderType,
    Quote,
    Side,
    VenueOrder,
)
from tradepulse_runner.venues.coinbase.market import (
    book_quotes,
    positions_from,
    product_from,
    ticker_quotes,
)
from tradepulse_runner.venues.coinbase.wire import (
    Malformed,
    OtherKind,
    fill_from,
    microseconds,
    order_body,
    order_from,
    rfc3339,
    streamed_order,
)

BUY = Order("BTC-USD", Side.BUY, Decimal("0.01"), price=Decimal(45000))
SELL = Order("BTC-USD", Side.SELL, Decimal("0.01"), OrderType.MARKET)


def test_a_limit_order_as_it_is_sent() -> None:
    assert json.loads(order_body(BUY, "tp-1")) == {
        "client_order_id": "tp-1",
        "product_id": "BTC-USD",
        "side": "BUY",
        "order_configuration": {
            "limit_limit_gtc": {"base_size": "0.01", "limit_price": "45000", "post_only": False}
        },
    }


@pytest.mark.parametrize("side", Side)
def test_a_market_order_is_sized_in_the_base_currency(side: Side) -> None:
    sent = Order("BTC-USD", side, Decimal("1E-8"), OrderType.MARKET)
    body = json.loads(order_body(sent, "tp-1"))
    assert body["order_configuration"] == {"market_market_ioc": {"base_size": "0.00000001"}}


@pytest.mark.parametrize("asked", [BUY, SELL])
def test_what_was_sent_is_read_back_as_the_same_order(asked: Order) -> None:
    sent = json.loads(order_body(asked, "tp-1"))
    found = order_from(order(**sent))
    assert found.order.body_hash() == asked.body_hash()
    assert (found.client_id, found.venue_id) == ("tp-1", "0000-000000-000001")


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("OPEN", "0", OrderStatus.OPEN),
        ("OPEN", "0.004", OrderStatus.PARTIALLY_FILLED),
        ("PENDING", "", OrderStatus.OPEN),
        ("QUEUED", "0", OrderStatus.OPEN),
        ("CANCEL_QUEUED", "0.004", OrderStatus.PARTIALLY_FILLED),
        ("FILLED", "0.01", OrderStatus.FILLED),
        ("CANCELLED", "0.004", OrderStatus.CANCELLED),
        ("EXPIRED", "0", OrderStatus.CANCELLED),
        ("FAILED", "0", OrderStatus.REJECTED),
        ("FAILED", "0.004", OrderStatus.CANCELLED),
    ],
)
def test_statuses(word: str, filled: str, status: OrderStatus) -> None:
    found = order_from(order(status=word, filled_size=filled))
    assert found.status is status
    assert found.filled == Decimal(filled or 0)


def test_another_size_under_our_id_is_another_order() -> None:
    bigger = {"limit_limit_gtc": {"base_size": "0.02", "limit_price": "45000"}}
    assert order_from(order(order_configuration=bigger)).order.body_hash() != BUY.body_hash()


@pytest.mark.parametrize(
    "configuration",
    [
        {"market_market_ioc": {"quote_size": "100"}},
        {"stop_limit_stop_limit_gtc": {"base_size": "1", "limit_price": "2", "stop_price": "3"}},
        {"limit_limit_fok": {"base_size": "1", "limit_price": "2"}},
        {},
        None,
        {"limit_limit_gtc": "?"},
    ],
)
def test_an_order_of_another_kind_is_never_taken_for_ours(configuration: Any) -> None:
    with pytest.raises(OtherKind):
        order_from(order(order_configuration=configuration))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "UNKNOWN_ORDER_STATUS"},
        {"status": None},
        {"filled_size": "NaN"},
        {"filled_size": "many"},
        {"side": "HOLD"},
        {"client_order_id": ""},
        {"order_id": None},
        {"order_configuration": {"limit_limit_gtc": {"base_size": "0", "limit_price": "1"}}},
        {"order_configuration": {"limit_limit_gtc": {"base_size": "1"}}},
    ],
)
def test_what_cannot_be_read_proves_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        order_from(order(**changes))


# -- the user channel --------------------------------------------------------------------------


def test_an_update_tells_what_was_asked_for() -> None:
    told = streamed_order(update(cumulative_quantity="0.004", leaves_quantity="0.006"), None)
    assert told == VenueOrder(
        "tp-1-1", "0000-000000-000001", BUY, OrderStatus.PARTIALLY_FILLED, Decimal("0.004")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "CANCELLED", "leaves_quantity": "0"},  # of what?
        {"limit_price": ""},
        {"limit_price": "0"},
        {"order_type": "STOP_LIMIT"},
        {"leaves_quantity": ""},
    ],
)
def test_an_update_that_does_not_tell_what_was_asked_for(changes: dict[str, Any]) -> None:
    assert streamed_order(update(**changes), None) is None
    told = streamed_order(update(**changes), BUY)
    assert told is not None
    assert told.order is BUY


def test_a_filled_market_order_tells_its_size() -> None:
    told = streamed_order(
        update(
            status="FILLED", order_type="Market", limit_price="0", order_side="SELL",
            cumulative_quantity="0.01", leaves_quantity="0",
        ),
        None,
    )  # fmt: skip
    assert told is not None
    assert told.order == SELL
    assert told.status is OrderStatus.FILLED


# -- fills -------------------------------------------------------------------------------------


def test_a_fill() -> None:
    found = fill_from(fill())
    assert found is not None
    trade = found.trade("tp-1-1")
    assert trade.trade_id == "22222-2222222-22222222"
    assert (trade.client_id, trade.symbol, trade.side) == ("tp-1-1", "BTC-USD", Side.BUY)
    assert (trade.price, trade.quantity) == (Decimal("45123.45"), Decimal("0.005"))
    assert (trade.fee, trade.fee_symbol) == (Decimal("1.14"), "")  # commission: quote currency
    assert trade.timestamp == 1705314600.0
    assert found.at == 1705314600_123456


@pytest.mark.parametrize("kind", ["REVERSAL", "CORRECTION", "SYNTHETIC"])
def test_an_adjustment_is_no_trade(kind: str) -> None:
    assert fill_from(fill(trade_type=kind)) is None


def test_a_fill_sized_in_the_quote_currency() -> None:
    found = fill_from(fill(size="90", price="45000", size_in_quote=True))
    assert found is not None
    assert found.quantity == Decimal("0.002")


@pytest.mark.parametrize(
    "changes", [{"price": "0"}, {"size": ""}, {"side": "?"}, {"sequence_timestamp": "then"}]
)
def test_a_fill_that_cannot_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        fill_from(fill(**changes))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-15T10:30:00Z", 1705314600_000000),
        ("2024-01-15T10:30:00.1Z", 1705314600_100000),
        ("2024-01-15T10:30:00.123456Z", 1705314600_123456),
        ("2024-01-15T10:30:00.123456789Z", 1705314600_123456),
        ("2024-01-15T11:30:00+01:00", 1705314600_000000),
    ],
)
def test_times(text: str, at: int) -> None:
    assert microseconds({"t": text}, "t") == at
    assert microseconds({"t": rfc3339(at)}, "t") == at


# -- market and account ------------------------------------------------------------------------


def test_a_product() -> None:
    found = product_from(product())
    assert found.instrument == Instrument(
        tick=Decimal("0.01"),
        lot=Decimal("1E-8"),
        min_quantity=Decimal("1E-8"),
        min_notional=Decimal(1),
        shortable=False,
    )
    assert (found.base, found.quote) == ("BTC", "USD")
    assert found.refuses(BUY) == found.refuses(SELL) == ""


@pytest.mark.parametrize(
    ("changes", "limit", "market"),
    [
        ({"trading_disabled": True}, "trading_disabled", "trading_disabled"),
        ({"cancel_only": True, "is_disabled": True}, "is_disabled, cancel_only", None),
        ({"status": "delisted"}, "status delisted", "status delisted"),
        ({"limit_only": True}, "", "limit_only"),
        ({"post_only": True}, "post_only", "post_only"),
    ],
)
def test_a_product_that_takes_no_orders(
    changes: dict[str, Any], limit: str, market: str | None
) -> None:
    found = product_from(product(**changes))
    assert found.refuses(BUY) == limit
    assert found.refuses(SELL) == (limit if market is None else market)


def test_positions_are_what_is_available_and_what_is_on_hold() -> None:
    held = [account("BTC", "1.23456789", "0.005"), account("USD", "10000.50", "450")]
    assert positions_from(held, [product_from(product())]) == {"BTC-USD": Decimal("1.23956789")}
    assert positions_from([], [product_from(product())]) == {"BTC-USD": 0}


def test_quotes() -> None:
    books = {
        "pricebooks": [
            {
                "product_id": "BTC-USD",
                "bids": [{"price": "1", "size": "5"}],
                "asks": [{"price": "2", "size": "5"}],
                "time": "2024-01-15T10:30:00Z",
            },
            {"product_id": "ETH-USD", "bids": [], "asks": [{"price": "2", "size": "5"}]},
        ]
    }
    told = dict(book_quotes(books, 7.0))
    assert told.keys() == {"BTC-USD"}
    assert told["BTC-USD"] == Quote(Decimal(1), Decimal(2), 7.0)

    tickers = {"tickers": [{"product_id": "BTC-USD", "best_bid": "1", "best_ask": "2"}, {
        "product_id": "ETH-USD", "best_bid": "", "best_ask": "2"}]}  # fmt: skip
    assert dict(ticker_quotes(tickers, 7.0)) == told
