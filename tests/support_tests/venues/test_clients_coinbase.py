"""Clients that others wrote trade through the venue, unchanged: what they understand is Coinbase.

The official coinbase-advanced-py (REST and WebSocket) and ccxt (REST and its streaming half).
Both insist on https, so the venue has a certificate of its own here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
import pytest
import requests
from coinbase.rest import RESTClient
from coinbase.websocket import WebsocketResponse, WSClient, WSUserClient
from requests.exceptions import HTTPError

from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import KeyPair, make_ed25519, make_es256
from tests.support.venues.exchange import Side
from tests.support.venues.tls import LoopbackTls, make_loopback_tls
from tests.support_tests.venues.coinbase_fixtures import PRODUCT, other, quiet_venue

D = Decimal
run = asyncio.to_thread  # the clients are blocking, the venue is not


@pytest.fixture
def tls(tmp_path: Path) -> LoopbackTls:
    return make_loopback_tls(tmp_path)


@pytest.fixture
async def venue(tls: LoopbackTls) -> AsyncIterator[CoinbaseVenue]:
    async with quiet_venue(tls=tls.server) as venue:
        yield venue


def register(venue: CoinbaseVenue, pair: KeyPair) -> KeyPair:
    venue.add_key(pair.name, pair.public_key_pem)
    return pair


@pytest.fixture(params=[make_es256, make_ed25519], ids=["ES256", "EdDSA"])
def pair(request: pytest.FixtureRequest, venue: CoinbaseVenue) -> KeyPair:
    return register(venue, request.param())


def trust(session: requests.Session, tls: LoopbackTls) -> None:
    session.verify = str(tls.certificate)
    session.trust_env = False  # a machine's own certificate bundle would take precedence


# -- coinbase-advanced-py


@pytest.fixture
def official(venue: CoinbaseVenue, pair: KeyPair, tls: LoopbackTls) -> RESTClient:
    client = RESTClient(
        api_key=pair.name, api_secret=pair.secret, base_url=venue.rest_url.removeprefix("https://")
    )
    trust(client.session, tls)
    return client


async def test_official_a_limit_order_rests_is_partly_filled_and_cancelled(
    venue: CoinbaseVenue, official: RESTClient
) -> None:
    placed = await run(official.limit_order_gtc_buy, "mine-1", PRODUCT, "0.3", "49995.00")
    assert placed.success
    order_id = placed.success_response["order_id"]
    opened = await run(official.list_orders, order_status=["OPEN"], product_ids=[PRODUCT])
    assert [order.order_id for order in opened.orders] == [order_id]

    other(venue, Side.SELL, "0.1", "49995")
    order = (await run(official.get_order, order_id)).order
    assert (order.status, order.filled_size) == ("OPEN", "0.1")
    assert (order.average_filled_price, order.number_of_fills) == ("49995", "1")
    assert order.order_configuration.limit_limit_gtc.base_size == "0.3"

    cancelled = await run(official.cancel_orders, [order_id])
    assert cancelled.results[0].success
    order = (await run(official.get_order, order_id)).order
    assert (order.status, order.client_order_id) == ("CANCELLED", "mine-1")
    assert not (await run(official.list_orders, order_status=["OPEN"])).orders


async def test_official_market_orders_fills_and_balances(
    venue: CoinbaseVenue, official: RESTClient
) -> None:
    sold = await run(official.market_order_sell, "mine-1", PRODUCT, base_size="0.2")
    bought = await run(official.market_order_buy, "mine-2", PRODUCT, quote_size="1000")
    assert sold.success
    assert bought.success

    newest, oldest = (await run(official.get_fills)).fills
    assert (oldest.side, oldest.size, oldest.price) == ("SELL", "0.2", "49990")
    assert (newest.side, newest.price, newest.liquidity_indicator) == ("BUY", "50010", "TAKER")
    spent = D(newest.size) * D(newest.price) + D(newest.commission)
    assert 999 < spent <= 1000

    accounts = (await run(official.get_accounts)).accounts
    shown = {a.currency: (D(a.available_balance["value"]), D(a.hold["value"])) for a in accounts}
    balances = venue.exchange.balances("runner")
    assert shown == {
        asset: (balances[asset].free, balances[asset].locked) for asset in ("BTC", "USD")
    }
    earned = D("0.2") * D(49990) * (1 - venue.exchange.fee)
    assert shown["USD"][0] == 100_000 + earned - spent


async def test_official_market_data(official: RESTClient) -> None:
    product = await run(official.get_product, PRODUCT)
    assert (product.price_increment, product.base_increment) == ("0.01", "0.00000001")
    book = (await run(official.get_product_book, PRODUCT)).pricebook
    assert (book.bids[0].price, book.asks[0].price) == ("49990", "50010")
    public = (await run(official.get_public_product_book, PRODUCT)).pricebook
    assert public.bids[0].price == "49990"
    best = (await run(official.get_best_bid_ask, [PRODUCT])).pricebooks[0]
    assert best.asks[0].size == "1"
    assert abs(int((await run(official.get_unix_time)).epoch_millis)) > 1_600_000_000_000
    assert (await run(official.get_api_key_permissions)).can_trade
    assert D((await run(official.get_transaction_summary)).fee_tier["taker_fee_rate"]) == D("0.001")


async def test_official_errors(official: RESTClient, venue: CoinbaseVenue, pair: KeyPair) -> None:
    poor = await run(official.limit_order_gtc_buy, "mine-1", PRODUCT, "9", "49995")
    assert not poor.success
    assert poor.error_response["error"] == "INSUFFICIENT_FUND"
    coarse = await run(official.limit_order_gtc_buy, "mine-2", PRODUCT, "0.1", "49995.001")
    assert coarse.error_response["new_order_failure_reason"] == "INVALID_PRICE_PRECISION"
    with pytest.raises(HTTPError, match="order with this orderID was not found"):
        await run(official.get_order, "11111111-1111-1111-1111-111111111111")

    venue.add_key(pair.name, pair.public_key_pem, can_trade=False)
    with pytest.raises(HTTPError, match="Missing Required Scopes"):
        await run(official.limit_order_gtc_buy, "mine-3", PRODUCT, "0.1", "49995")
    venue.remove_key(pair.name)
    with pytest.raises(HTTPError, match="401 Client Error: Unauthorized Unauthorized"):
        await run(official.get_accounts)


async def test_official_a_used_client_order_id_creates_nothing(
    venue: CoinbaseVenue, official: RESTClient
) -> None:
    first = await run(official.limit_order_gtc_buy, "mine-1", PRODUCT, "0.3", "49995")
    again = await run(official.market_order_sell, "mine-1", PRODUCT, base_size="0.01")
    assert again.success
    assert again.success_response["order_id"] == first.success_response["order_id"]
    assert len(venue.exchange.orders("runner")) == 1


class Heard:
    """Messages of a client that runs in a thread of its own, for a test that awaits them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[WebsocketResponse] = asyncio.Queue()

    def __call__(self, text: str) -> None:
        message = WebsocketResponse(json.loads(text))
        self._loop.call_soon_threadsafe(self._messages.put_nowait, message)

    async def next(self, channel: str) -> WebsocketResponse:
        async with asyncio.timeout(10):
            while True:
                message = await self._messages.get()
                if message.channel == channel:
                    return message

    async def order(self, status: str) -> Any:
        while True:
            for event in (await self.next("user")).events:
                for order in event.orders:
                    if order.status == status:
                        return order


async def test_official_user_channel(
    venue: CoinbaseVenue, official: RESTClient, pair: KeyPair
) -> None:
    heard = Heard()
    client = WSUserClient(
        api_key=pair.name,
        api_secret=pair.secret,
        base_url=venue.ws_user_url,
        on_message=heard,
        retry=False,
    )
    await run(client.open)
    try:
        await run(client.user, product_ids=[PRODUCT])
        snapshot = await heard.next("user")
        assert (snapshot.events[0].type, snapshot.events[0].orders) == ("snapshot", [])
        listing = await heard.next("subscriptions")
        assert listing.events[0].subscriptions == {"user": [PRODUCT]}
        await run(client.heartbeats)
        assert int((await heard.next("heartbeats")).events[0].heartbeat_counter) >= 1

        placed = await run(official.limit_order_gtc_buy, "mine-1", PRODUCT, "0.3", "49995")
        assert (await heard.order("OPEN")).order_id == placed.success_response["order_id"]
        other(venue, Side.SELL, "0.1", "49995")
        partly = await heard.order("OPEN")
        assert (partly.cumulative_quantity, partly.leaves_quantity) == ("0.1", "0.2")
        other(venue, Side.SELL, "0.2", "49995")
        done = await heard.order("FILLED")
        assert (done.number_of_fills, done.avg_price) == ("2", "49995")
    finally:
        await run(client.close)


async def test_official_market_channels(venue: CoinbaseVenue) -> None:
    heard = Heard()
    client = WSClient(base_url=venue.ws_url, on_message=heard, retry=False)
    await run(client.open)
    try:
        await run(client.level2, product_ids=[PRODUCT])
        levels = (await heard.next("l2_data")).events[0].updates
        assert [(level.side, level.price_level) for level in levels] == [
            ("bid", "49990"),
            ("offer", "50010"),
        ]
        await run(client.ticker, product_ids=[PRODUCT])
        await run(client.market_trades, product_ids=[PRODUCT])
        await heard.next("market_trades")
        other(venue, Side.BUY, "0.4", "50010", account="third")
        change = (await heard.next("l2_data")).events[0].updates[0]
        assert (change.side, change.new_quantity) == ("offer", "0.6")
        trade = (await heard.next("market_trades")).events[0].trades[0]
        assert (trade.price, trade.size, trade.side) == ("50010", "0.4", "SELL")
        assert (await heard.next("ticker")).events[0].tickers[0].best_ask_quantity == "0.6"
    finally:
        await run(client.close)


# -- ccxt


@pytest.fixture
def unified(venue: CoinbaseVenue, pair: KeyPair, tls: LoopbackTls) -> ccxt.coinbase:
    client = ccxt.coinbase({"apiKey": pair.name, "secret": pair.secret, "enableRateLimit": False})
    client.urls["api"]["rest"] = venue.rest_url
    client.validateServerSsl = str(tls.certificate)  # it reaches requests as ``verify``
    return client


async def test_ccxt_trades(venue: CoinbaseVenue, unified: ccxt.coinbase) -> None:
    market = (await run(unified.load_markets))["BTC/USD"]
    assert (market["precision"]["price"], market["taker"]) == (0.01, 0.001)
    placed = await run(unified.create_order, "BTC/USD", "limit", "buy", 0.3, 49995)
    assert [o["id"] for o in await run(unified.fetch_open_orders, "BTC/USD")] == [placed["id"]]
    other(venue, Side.SELL, "0.1", "49995")
    order = await run(unified.fetch_order, placed["id"])
    assert (order["status"], order["filled"], order["price"]) == ("open", 0.1, 49995)
    await run(unified.cancel_order, placed["id"])
    assert (await run(unified.fetch_order, placed["id"]))["status"] == "canceled"

    await run(unified.create_order, "BTC/USD", "market", "sell", 0.2)
    await run(unified.create_order, "BTC/USD", "market", "buy", 0.02, 50000)
    trades = await run(unified.fetch_my_trades, "BTC/USD")
    assert [(t["side"], t["price"]) for t in trades] == [
        ("buy", 49995),
        ("sell", 49990),
        ("buy", 50010),
    ]
    assert (trades[1]["fee"]["cost"], trades[1]["fee"]["currency"]) == (9.998, "USD")
    balance = await run(unified.fetch_balance, {"v3": True})
    assert balance["BTC"]["total"] == pytest.approx(
        float(venue.exchange.balances("runner")["BTC"].total)
    )
    book = await run(unified.fetch_order_book, "BTC/USD")
    assert book["bids"][0][0] == 49990


async def test_ccxt_takes_the_old_order_for_a_new_one_when_an_id_is_used_again(
    unified: ccxt.coinbase, venue: CoinbaseVenue
) -> None:
    same = {"client_order_id": "mine-1"}
    first = await run(unified.create_order, "BTC/USD", "limit", "buy", 0.3, 49995, same)
    again = await run(unified.create_order, "BTC/USD", "limit", "sell", 0.1, 50005, same)
    assert again["id"] == first["id"]
    assert again["side"] == "sell", "the answer echoes the request: it gives nothing away"
    assert (await run(unified.fetch_order, again["id"]))["side"] == "buy"
    assert len(venue.exchange.orders("runner")) == 1


async def test_ccxt_understands_the_errors(unified: ccxt.coinbase, venue: CoinbaseVenue) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await run(unified.create_order, "BTC/USD", "limit", "buy", 9, 49995)
    with pytest.raises(ccxt.ExchangeError, match="NOT_FOUND"):
        await run(unified.fetch_order, "11111111-1111-1111-1111-111111111111")
    venue.remove_key(unified.apiKey)
    with pytest.raises(ccxt.AuthenticationError):
        await run(unified.fetch_balance, {"v3": True})


async def test_ccxt_streams_the_users_orders(venue: CoinbaseVenue, tls: LoopbackTls) -> None:
    pair = register(venue, make_es256())
    client = ccxt.pro.coinbase(
        {"apiKey": pair.name, "secret": pair.secret, "cafile": str(tls.certificate)}
    )
    client.urls["api"].update(rest=venue.rest_url, ws=venue.ws_url)
    try:
        placed = await client.create_order("BTC/USD", "limit", "buy", 0.3, 49995)
        async with asyncio.timeout(10):
            orders = await client.watch_orders("BTC/USD")
            assert [(o["id"], o["status"]) for o in orders] == [(placed["id"], "open")]
            await client.cancel_order(placed["id"])
            while orders[-1]["status"] != "canceled":
                orders = await client.watch_orders("BTC/USD")
        assert orders[-1]["id"] == placed["id"]
    finally:
        await client.close()
