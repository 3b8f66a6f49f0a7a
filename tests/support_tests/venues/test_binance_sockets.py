"""The Binance venue's WebSocket API, user data stream and market streams."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Side
from tests.support_tests.venues.binance_fixtures import ED_KEY, KEY, Socket, funded, limit_order


async def test_orders_over_the_socket(socket: Socket) -> None:
    placed = await socket.ask("order.place", **limit_order(newClientOrderId="ws"))
    assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
    assert {limit["rateLimitType"] for limit in placed["rateLimits"]} == {
        "ORDERS",
        "REQUEST_WEIGHT",
    }
    ask = {"symbol": "BTCUSDT", "origClientOrderId": "ws"}
    assert (await socket.ask("order.status", **ask))["result"]["clientOrderId"] == "ws"
    assert len((await socket.ask("openOrders.status"))["result"]) == 1
    assert (await socket.ask("order.cancel", **ask))["result"]["status"] == "CANCELED"
    gone = await socket.ask("order.cancel", **ask)
    assert (gone["status"], gone["error"]["code"]) == (400, -2011)
    assert (await socket.ask("order.status", symbol="BTCUSDT", origClientOrderId="x"))["error"][
        "code"
    ] == -2013
    balances = (await socket.ask("account.status"))["result"]["balances"]
    assert {balance["asset"] for balance in balances} == {"BTC", "ETH", "USDT"}


async def test_public_methods_and_nonsense(socket: Socket) -> None:
    assert (await socket.ask("ping", key=None))["result"] == {}
    assert "serverTime" in (await socket.ask("v3/time", key=None))["result"]
    assert (await socket.ask("order.wish", key=None))["status"] == 400
    await socket.ws.send_str("{")
    assert (await socket.until(lambda message: message["id"] is None))["error"]["code"] == -1135


async def test_limits_are_reported_unless_one_asks_not_to(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(f"{venue.ws_api_url}?returnRateLimits=false") as ws:
        quiet = Socket(ws)
        assert "rateLimits" not in await quiet.ask("ping", key=None)
        [limit] = (await quiet.ask("ping", key=None, returnRateLimits=True))["rateLimits"]
    assert (limit["rateLimitType"], limit["count"]) == ("REQUEST_WEIGHT", 4), "2 to connect"


async def test_a_signature_is_over_sorted_parameters(socket: Socket) -> None:
    bad = await socket.ask("account.status", key=None, apiKey=KEY, timestamp=1, signature="x")
    assert bad["error"]["code"] == -1022
    unknown = await socket.ask("account.status", key="nobody")
    assert (unknown["status"], unknown["error"]["code"]) == (401, -2015)


async def test_only_ed25519_logs_on_and_then_needs_no_signature(
    socket: Socket, venue: BinanceVenue
) -> None:
    assert (await socket.ask("session.logon", key=KEY))["error"]["code"] == -4056
    assert (await socket.ask("userDataStream.subscribe", key=None))["error"]["code"] == -2015
    logged_on = await socket.ask("session.logon", key=ED_KEY)
    assert logged_on["result"]["apiKey"] == ED_KEY
    now = int(venue.clock() * 1000)
    placed = await socket.ask("order.place", key=None, **limit_order(timestamp=now))
    assert placed["status"] == 200
    late = await socket.ask("account.status", key=None, timestamp=now - 10000)
    assert late["error"]["code"] == -1021
    assert (await socket.ask("userDataStream.subscribe", key=None))["result"] == {
        "subscriptionId": 0
    }
    out = await socket.ask("session.logout", key=None)
    assert out["result"]["apiKey"] is None
    assert (await socket.ask("account.status", key=None, timestamp=now))["error"]["code"] == -2014


async def test_the_life_of_an_order_in_the_user_stream(socket: Socket, venue: BinanceVenue) -> None:
    await socket.ask("userDataStream.subscribe.signature")
    await socket.ask("order.place", **limit_order(price="59999", newClientOrderId="a"))
    venue.crowd.take("BTCUSDT", Side.SELL, Decimal("0.004"))
    cancel = {"symbol": "BTCUSDT", "origClientOrderId": "a", "newClientOrderId": "c"}
    await socket.ask("order.cancel", **cancel)
    told = [message["event"] for message in socket.seen if "event" in message]
    reports = [event for event in told if event["e"] == "executionReport"]
    assert [(r["x"], r["X"], r["c"], r["C"]) for r in reports] == [
        ("NEW", "NEW", "a", ""),
        ("TRADE", "PARTIALLY_FILLED", "a", ""),
        ("CANCELED", "CANCELED", "c", "a"),
    ]
    fill = reports[1]
    assert (fill["l"], fill["L"], fill["z"], fill["n"], fill["N"], fill["m"]) == (
        "0.00400000",
        "59999.00000000",
        "0.00400000",
        "0.00000400",
        "BTC",
        True,
    )
    positions = [event for event in told if event["e"] == "outboundAccountPosition"]
    last = {held["a"]: held for event in positions for held in event["B"]}
    balances = venue.exchange.balances("runner")
    assert {a: Decimal(held["f"]) for a, held in last.items()} == {
        asset: balances[asset].free for asset in last
    }


async def test_deposits_are_reported(socket: Socket, venue: BinanceVenue) -> None:
    await socket.ask("userDataStream.subscribe.signature")
    venue.exchange.deposit("runner", "BTC", Decimal(1))
    assert (await socket.event("balanceUpdate"))["d"] == "1.00000000"


async def test_subscriptions_end_with_a_word(socket: Socket, venue: BinanceVenue) -> None:
    for number in range(2):
        subscribed = await socket.ask("userDataStream.subscribe.signature")
        assert subscribed["result"] == {"subscriptionId": number}
    listed = await socket.ask("session.subscriptions", key=None)
    assert listed["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
    await socket.ask("userDataStream.unsubscribe", key=None, subscriptionId=0)
    assert socket.seen.pop()["event"]["e"] == "eventStreamTerminated"
    venue.exchange.deposit("runner", "BTC", Decimal(1))
    assert (await socket.until(lambda m: "event" in m))["subscriptionId"] == 1
    again = await socket.ask("userDataStream.unsubscribe", key=None, subscriptionId=0)
    assert again["error"]["code"] == -1130


async def market(ws: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads(await ws.receive_str(timeout=10))


async def test_raw_and_combined_market_streams(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    url = venue.stream_url
    names = "btcusdt@bookTicker/btcusdt@trade/btcusdt@depth@100ms"
    async with (
        http.ws_connect(f"{url}/ws/btcusdt@bookTicker") as raw,
        http.ws_connect(f"{url}/stream?streams={names}") as combined,
    ):
        venue.crowd.take("BTCUSDT", Side.BUY, Decimal("0.01"))
        best = await market(raw)
        quote = venue.exchange.quote("BTCUSDT")
        assert (best["s"], Decimal(best["A"])) == ("BTCUSDT", quote.ask_quantity)
        heard = {}
        for _ in range(3):
            message = await market(combined)
            heard[message["stream"].split("@")[1]] = message["data"]
        assert heard["bookTicker"] == best
        assert (heard["trade"]["p"], heard["trade"]["m"]) == ("60006.00000000", False)
        assert heard["depth"]["a"] == [["60006.00000000", best["A"]]]


async def test_subscribing_later(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(f"{venue.stream_url}/ws") as ws:
        name = "ethusdt@bookTicker"
        await ws.send_json({"method": "SUBSCRIBE", "params": [name], "id": 7})
        assert await market(ws) == {"result": None, "id": 7}
        venue.crowd.step()
        assert (await market(ws))["s"] == "ETHUSDT"
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
        assert await market(ws) == {"result": [name], "id": 8}
        await ws.send_json({"method": "UNSUBSCRIBE", "params": [name], "id": 9})
        assert (await market(ws))["id"] == 9
        venue.crowd.step()
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 10})
        assert await market(ws) == {"result": [], "id": 10}


async def test_a_book_kept_by_depth_updates_is_the_book(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    """The procedure of "How to manage a local order book correctly"."""
    async with http.ws_connect(f"{venue.stream_url}/ws/btcusdt@depth") as ws:
        url = f"{venue.rest_url}/api/v3/depth?symbol=BTCUSDT"
        async with http.get(url) as response:
            snapshot = await response.json()
        books = {
            "b": dict(map(tuple, snapshot["bids"])),
            "a": dict(map(tuple, snapshot["asks"])),
        }
        last = snapshot["lastUpdateId"]
        for _ in range(5):
            venue.crowd.step()
            update = await market(ws)
            assert update["U"] == last + 1
            last = update["u"]
            for side, book in books.items():
                book.update(dict(map(tuple, update[side])))
    for side, exchange_side in (("b", Side.BUY), ("a", Side.SELL)):
        kept = {Decimal(p): Decimal(q) for p, q in books[side].items() if Decimal(q)}
        assert kept == dict(venue.exchange.depth("BTCUSDT", exchange_side))


async def test_a_connection_lives_so_long_and_no_longer() -> None:
    async with (
        funded(lifetime=0.05) as venue,
        aiohttp.ClientSession() as http,
        http.ws_connect(venue.ws_api_url) as ws,
    ):
        message = await ws.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.CLOSE
