"""Three independent clients, unmodified, trade through the venue: its protocol is not only what
its author thinks it is.

Each places, is filled partly and wholly, cancels, asks, hears its user data stream, and gets an
error that it maps to its own kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import binance
import ccxt.async_support as ccxt_rest
import ccxt.pro as ccxt_pro
import pytest
from binance.exceptions import BinanceAPIException
from binance.ws.constants import WSListenerState
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_spot.rest_api.models import (
    NewOrderSideEnum,
    NewOrderTimeInForceEnum,
    NewOrderTypeEnum,
)
from binance_sdk_spot.spot import Spot
from binance_sdk_spot.websocket_api.models import (
    OrderPlaceSideEnum,
    OrderPlaceTimeInForceEnum,
    OrderPlaceTypeEnum,
)

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Side, Status
from tests.support_tests.venues.binance_fixtures import ED_KEY, KEY, SECRET, private_pem, until


def fill_half(venue: BinanceVenue) -> None:
    """Somebody sells 0.01 BTC at the best price, which is the test's."""
    venue.crowd.take("BTCUSDT", Side.SELL, Decimal("0.01"))


def state(venue: BinanceVenue, client_id: str) -> tuple[Status, Decimal]:
    [order] = venue.exchange.by_client_id("runner", client_id)
    return order.status, order.filled


BEST = "59999"  # above the crowd's bids, below its offers


# -- python-binance


class _Endpoints(binance.AsyncClient):  # type: ignore[misc]
    """The client's own way to other addresses: its constants."""


@pytest.fixture
async def python_binance(venue: BinanceVenue) -> AsyncIterator[Any]:
    class Client(_Endpoints):
        API_URL = f"{venue.rest_url}/api"
        WS_API_URL = venue.ws_api_url

    client = Client(KEY, SECRET)
    yield client
    closing = asyncio.create_task(client.close_connection())
    # It reads on until a message comes, or ten seconds have passed; or the connection ends.
    exiting = (None, WSListenerState.EXITING)
    await until(lambda: closing.done() or client.ws_api.ws_state in exiting)
    venue.cut_streams(announced=False)
    await closing


async def test_python_binance_trades(venue: BinanceVenue, python_binance: Any) -> None:
    client = python_binance
    resting = await client.create_order(
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.02",
        price=BEST,
        newClientOrderId="pb-1",
    )
    assert resting["status"] == "NEW"
    fill_half(venue)
    asked = await client.get_order(symbol="BTCUSDT", origClientOrderId="pb-1")
    assert (asked["status"], Decimal(asked["executedQty"])) == ("PARTIALLY_FILLED", Decimal("0.01"))
    assert [o["clientOrderId"] for o in await client.get_open_orders(symbol="BTCUSDT")] == ["pb-1"]
    cancelled = await client.cancel_order(symbol="BTCUSDT", orderId=resting["orderId"])
    assert cancelled["status"] == "CANCELED"
    market = await client.order_market_sell(symbol="BTCUSDT", quantity="0.01")
    assert market["status"] == "FILLED"
    assert market["fills"][0]["commissionAsset"] == "USDT"
    trades = await client.get_my_trades(symbol="BTCUSDT")
    assert [trade["isBuyer"] for trade in trades] == [True, False]
    assert [t["id"] for t in await client.get_my_trades(symbol="BTCUSDT", fromId=trades[1]["id"])]
    balance = await client.get_asset_balance(asset="BTC")
    assert Decimal(balance["free"]) == venue.exchange.balances("runner")["BTC"].free
    assert [order["status"] for order in await client.get_all_orders(symbol="BTCUSDT")] == [
        "CANCELED",
        "FILLED",
    ]


async def test_python_binance_knows_the_errors(python_binance: Any) -> None:
    client = python_binance
    with pytest.raises(BinanceAPIException) as refused:
        await client.order_limit_buy(symbol="BTCUSDT", quantity="0.02", price="59999.001")
    assert (refused.value.code, refused.value.message) == (-1013, "Filter failure: PRICE_FILTER")
    with pytest.raises(BinanceAPIException) as poor:
        await client.order_limit_buy(symbol="BTCUSDT", quantity="100", price="59999")
    assert poor.value.code == -2010
    with pytest.raises(BinanceAPIException) as missing:
        await client.get_order(symbol="BTCUSDT", origClientOrderId="never")
    assert missing.value.code == -2013


async def test_python_binance_hears_its_user_stream(
    venue: BinanceVenue, python_binance: Any
) -> None:
    client = python_binance
    manager = binance.BinanceSocketManager(client)
    async with manager.user_socket() as stream:
        await client.ws_create_order(
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.02",
            price=BEST,
            newClientOrderId="pb-ws",
        )
        fill_half(venue)
        reports: list[Any] = []
        while len(reports) < 2:
            message = await asyncio.wait_for(stream.recv(), 10)
            event = message.get("event", message)
            if event["e"] == "executionReport":
                reports.append(event)
    assert [(report["x"], report["c"]) for report in reports] == [
        ("NEW", "pb-ws"),
        ("TRADE", "pb-ws"),
    ]


# -- binance-sdk-spot, the official one


@pytest.fixture
def official(venue: BinanceVenue) -> Spot:
    return Spot(
        config_rest_api=ConfigurationRestAPI(
            api_key=ED_KEY, private_key=private_pem(), base_path=venue.rest_url, retries=0
        ),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=ED_KEY, private_key=private_pem(), stream_url=venue.ws_api_url
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"{venue.stream_url}/stream"),
    )


async def test_the_official_client_trades(venue: BinanceVenue, official: Spot) -> None:
    rest = official.rest_api

    async def call(method: str, *args: Any, **params: Any) -> Any:
        """It blocks, so it runs beside the venue."""
        return (await asyncio.to_thread(getattr(rest, method), *args, **params)).data()

    limit: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": NewOrderSideEnum["BUY"].value,
        "type": NewOrderTypeEnum["LIMIT"].value,
        "time_in_force": NewOrderTimeInForceEnum["GTC"].value,
    }
    resting = await call(
        "new_order", **limit, quantity=0.02, price=59999, new_client_order_id="sdk-1"
    )
    assert resting.status == "NEW"
    fill_half(venue)
    asked = await call("get_order", "BTCUSDT", orig_client_order_id="sdk-1")
    assert (asked.status, Decimal(asked.executed_qty)) == ("PARTIALLY_FILLED", Decimal("0.01"))
    assert len(await call("get_open_orders", "BTCUSDT")) == 1
    assert (await call("delete_order", "BTCUSDT", order_id=resting.order_id)).status == "CANCELED"
    market = await call(
        "new_order",
        "BTCUSDT",
        NewOrderSideEnum["SELL"].value,
        NewOrderTypeEnum["MARKET"].value,
        quantity=0.01,
    )
    assert market.status == "FILLED"
    assert len(await call("my_trades", "BTCUSDT")) == 2
    account = await call("get_account")
    held = {balance.asset: Decimal(balance.free) for balance in account.balances}
    assert held["BTC"] == venue.exchange.balances("runner")["BTC"].free
    with pytest.raises(BadRequestError, match="insufficient balance"):
        await call("new_order", **limit, quantity=100, price=59999)


async def test_the_official_client_logs_on_and_hears_its_user_stream(
    venue: BinanceVenue, official: Spot
) -> None:
    connection = await official.websocket_api.create_connection()
    try:
        logged_on = await connection.session_logon()
        assert logged_on.data().result.api_key == ED_KEY
        subscribed = await connection.user_data_stream_subscribe_signature()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        subscribed.stream.on("message", heard.put_nowait)
        placed = await connection.order_place(
            symbol="BTCUSDT",
            side=OrderPlaceSideEnum["BUY"].value,
            type=OrderPlaceTypeEnum["LIMIT"].value,
            time_in_force=OrderPlaceTimeInForceEnum["GTC"].value,
            quantity=0.02,
            price=59999,
            new_client_order_id="sdk-ws",
        )
        assert placed.data().result.status == "NEW"
        fill_half(venue)
        cancelled = await connection.order_cancel(symbol="BTCUSDT", orig_client_order_id="sdk-ws")
        assert cancelled.data().result.status == "CANCELED"
        reports: list[Any] = []
        while len(reports) < 3:
            event = (await asyncio.wait_for(heard.get(), 10)).actual_instance
            if type(event).__name__ == "ExecutionReport":
                reports.append(event)
        assert [report.x for report in reports] == ["NEW", "TRADE", "CANCELED"]
    finally:
        await connection.close_connection()


async def test_the_official_client_watches_the_market(venue: BinanceVenue, official: Spot) -> None:
    connection = await official.websocket_streams.create_connection()
    try:
        stream = await connection.book_ticker(symbol="btcusdt")
        heard: asyncio.Queue[Any] = asyncio.Queue()
        stream.on("message", heard.put_nowait)
        while heard.empty():
            venue.crowd.step()
            await asyncio.sleep(0.01)
        assert heard.get_nowait().s == "BTCUSDT"
    finally:
        await connection.close_connection()


# -- ccxt


def point(client: Any, venue: BinanceVenue) -> Any:
    client.urls["api"]["public"] = client.urls["api"]["private"] = f"{venue.rest_url}/api/v3"
    # Those two ask the wallet and margin APIs, which are other services.
    client.options["fetchCurrencies"] = client.options["fetchMargins"] = False
    client.options["fetchMarkets"] = {"types": ["spot"]}
    return client


@pytest.fixture
async def ccxt(venue: BinanceVenue) -> AsyncIterator[Any]:
    client = point(ccxt_rest.binance({"apiKey": KEY, "secret": SECRET}), venue)
    yield client
    await client.close()


async def test_ccxt_trades(venue: BinanceVenue, ccxt: Any) -> None:
    markets = await ccxt.load_markets()
    precision = markets["BTC/USDT"]["precision"]
    assert (precision["amount"], precision["price"]) == (1e-05, 0.01)
    resting = await ccxt.create_order(
        "BTC/USDT", "limit", "buy", 0.02, 59999, {"clientOrderId": "ccxt-1"}
    )
    assert resting["status"] == "open"
    fill_half(venue)
    asked = await ccxt.fetch_order(resting["id"], "BTC/USDT")
    assert (asked["filled"], asked["remaining"], asked["clientOrderId"]) == (0.01, 0.01, "ccxt-1")
    assert [order["id"] for order in await ccxt.fetch_open_orders("BTC/USDT")] == [resting["id"]]
    assert (await ccxt.cancel_order(resting["id"], "BTC/USDT"))["status"] == "canceled"
    market = await ccxt.create_order("BTC/USDT", "market", "sell", 0.01)
    assert (market["status"], market["fee"]["currency"]) == ("closed", "USDT")
    trades = await ccxt.fetch_my_trades("BTC/USDT")
    assert [(trade["side"], trade["takerOrMaker"]) for trade in trades] == [
        ("buy", "maker"),
        ("sell", "taker"),
    ]
    balance = await ccxt.fetch_balance()
    assert Decimal(str(balance["BTC"]["free"])) == venue.exchange.balances("runner")["BTC"].free
    book = await ccxt.fetch_order_book("BTC/USDT", 5)
    assert book["bids"][0][0] < book["asks"][0][0]


async def test_ccxt_knows_the_errors(ccxt: Any) -> None:
    with pytest.raises(ccxt_rest.InsufficientFunds):
        await ccxt.create_order("BTC/USDT", "limit", "buy", 100, 59999)
    with pytest.raises(ccxt_rest.OrderNotFound):
        await ccxt.fetch_order("999999", "BTC/USDT")
    with pytest.raises(ccxt_rest.OrderNotFound):
        await ccxt.cancel_order("999999", "BTC/USDT")
    ccxt.secret = "wrong"
    with pytest.raises(ccxt_rest.AuthenticationError):
        await ccxt.fetch_balance()


async def test_ccxt_hears_its_user_stream(venue: BinanceVenue) -> None:
    client = point(ccxt_pro.binance({"apiKey": KEY, "secret": SECRET}), venue)
    client.urls["api"]["ws"]["spot"] = f"{venue.stream_url}/ws"
    client.urls["api"]["ws"]["ws-api"]["spot"] = venue.ws_api_url
    try:
        await client.load_markets()
        watching = asyncio.create_task(client.watch_orders("BTC/USDT"))
        await until(
            lambda: any(
                entry.path == "userDataStream.subscribe.signature" for entry in venue.requests
            )
        )
        await client.create_order("BTC/USDT", "limit", "buy", 0.02, 59999)
        [order] = await asyncio.wait_for(watching, 10)
        assert (order["status"], order["amount"]) == ("open", 0.02)
        fill_half(venue)
        [order] = await asyncio.wait_for(client.watch_orders("BTC/USDT"), 10)
        assert order["filled"] == 0.01
    finally:
        await client.close()
