"""The Binance venue's REST API against its documentation: security, parameters, filters, orders,
trades, limits."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Side
from tests.support_tests.venues.binance_fixtures import (
    ED_KEY,
    KEY,
    Bare,
    ed25519_of,
    funded,
    hmac_of,
    limit_order,
)


def now() -> int:
    return int(time.time() * 1000)


# -- security


@pytest.mark.parametrize("key", [KEY, ED_KEY])
async def test_hmac_and_ed25519_sign(bare: Bare, key: str) -> None:
    assert (await bare("GET", "account", key=key)).status == 200


async def test_the_exact_bytes_are_signed(bare: Bare) -> None:
    """Query and body follow each other without anything between; the order of parameters is the
    sender's, and a signature over sorted ones isn't one over these."""
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity=0.01&price=50000&timestamp={now()}"
    good = f"{body}&signature={hmac_of(query + body)}"
    assert (await bare.send("POST", f"order?{query}", body=good)).status == 200
    sorted_query = "&".join(sorted(f"{query}&{body}".split("&")))
    bad = f"{body}&signature={hmac_of(sorted_query)}"
    refused = await bare.send("POST", f"order?{query}", body=bad)
    assert (refused.status, refused.code) == (400, -1022)


async def test_an_hmac_may_be_in_capitals_and_an_ed25519_may_not(bare: Bare) -> None:
    query = f"timestamp={now()}"
    shouted = hmac_of(query).upper()
    assert (await bare.send("GET", f"account?{query}&signature={shouted}")).status == 200
    wrong = ed25519_of(query).swapcase().replace("+", "%2B").replace("/", "%2F")
    refused = await bare.send("GET", f"account?{query}&signature={wrong}", key=ED_KEY)
    assert refused.code == -1022


async def test_what_is_not_ascii_must_be_percent_encoded(bare: Bare) -> None:
    body = f"symbol=BTCUSDT&side=BUY&type=LIMIT&timestamp={now()}&newClientOrderId=\u00e9"
    refused = await bare.send("POST", "order", body=f"{body}&signature={hmac_of(body)}")
    assert refused.code == -1022


async def test_keys_that_are_missing_unknown_or_revoked(bare: Bare, venue: BinanceVenue) -> None:
    missing = await bare.send("GET", f"account?timestamp={now()}&signature=x", key=None)
    assert (missing.status, missing.code) == (401, -2014)
    assert (await bare("GET", "account", key="nobody")).code == -2015
    venue.remove_key(KEY)
    revoked = await bare("GET", "account")
    assert (revoked.status, revoked.code) == (401, -2015)


@pytest.mark.parametrize(
    ("sent", "window", "code"),
    [
        (0, 5000, None),
        (-6000, 5000, -1021),
        (-6000, 10000, None),
        (-6000, None, -1021),
        (2000, 60000, -1021),
        (500, 5000, None),
        (0, 60001, -1131),
        (0, 5000.346, None),
    ],
)
async def test_timing(bare: Bare, sent: int, window: float | None, code: int | None) -> None:
    params: dict[str, Any] = {"timestamp": now() + sent}
    if window is not None:
        params["recvWindow"] = window
    answer = await bare("GET", "account", **params)
    assert (None if answer.status == 200 else answer.code) == code


async def test_a_clock_that_is_off(bare: Bare, venue: BinanceVenue) -> None:
    venue.clock_skew = -30.0
    ahead = await bare("GET", "account")
    assert (ahead.code, "ahead of the server's time" in ahead.body["msg"]) == (-1021, True)
    told = await bare("GET", "time", signed=False)
    assert told.body["serverTime"] < now() - 25000
    assert (await bare("GET", "account", timestamp=told.body["serverTime"])).status == 200


# -- parameters


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOPE"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "WISH"}, -1116),
        ({"timeInForce": "LATER"}, -1115),
        ({"quantity": "1e-2"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "0.010000001"}, -1111),
        ({"newClientOrderId": "with space"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"newClientOrderId": ""}, -1105),
        ({"price": ""}, -1105),
        ({"surprise": "1"}, -1104),
        ({"type": "MARKET"}, -1106),
        ({"stopPrice": "1"}, -1106),
        ({"type": "STOP_LOSS"}, -2010),
        ({"selfTradePreventionMode": "HOPE"}, -1130),
        ({"price": "50000.001"}, -1013),
        ({"price": "1000001"}, -1013),
        ({"price": "1000"}, -1013),
        ({"quantity": "0.000001"}, -1013),
        ({"quantity": "0.00005"}, -1013),
        ({"quantity": "9001"}, -1013),
        ({"quantity": "100"}, -2010),
        ({"type": "LIMIT_MAKER", "timeInForce": "GTC"}, -1106),
    ],
)
async def test_orders_that_cannot_be(bare: Bare, changes: dict[str, Any], code: int) -> None:
    refused = await bare.order(**changes)
    assert (refused.status, refused.code) == (400, code)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"price": "50000.001"}, "PRICE_FILTER"),
        ({"price": "1000"}, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.0100001"}, "LOT_SIZE"),
        ({"quantity": "0.00001"}, "NOTIONAL"),
    ],
)
async def test_filters_by_name(bare: Bare, changes: dict[str, Any], name: str) -> None:
    assert (await bare.order(**changes)).body["msg"] == f"Filter failure: {name}"


@pytest.mark.parametrize("missing", ["symbol", "side", "type", "timeInForce", "quantity", "price"])
async def test_mandatory_parameters(bare: Bare, missing: str) -> None:
    params: dict[str, Any] = {
        name: value for name, value in limit_order().items() if name != missing
    }
    refused = await bare("POST", "order", **params)
    assert (refused.code, f"'{missing}'" in refused.body["msg"]) == (-1102, True)


async def test_a_parameter_given_twice(bare: Bare) -> None:
    query = f"timestamp={now()}&timestamp={now()}"
    assert (await bare.send("GET", f"account?{query}&signature={hmac_of(query)}")).code == -1101


async def test_the_filters_published_are_those_enforced(bare: Bare) -> None:
    info = (await bare("GET", "exchangeInfo", signed=False, symbol="ETHUSDT")).body
    [symbol] = info["symbols"]
    filters = {entry["filterType"]: entry for entry in symbol["filters"]}
    step, tick = filters["LOT_SIZE"]["stepSize"], filters["PRICE_FILTER"]["tickSize"]
    order = limit_order(symbol="ETHUSDT", price="3000", quantity=step)
    assert (await bare("POST", "order", **order)).body["msg"] == "Filter failure: NOTIONAL"
    fits = {"price": str(3000 + Decimal(tick)), "quantity": str(1 + Decimal(step))}
    assert (await bare("POST", "order", **{**order, **fits})).status == 200
    assert {f"{k['rateLimitType']}-{k['interval']}" for k in info["rateLimits"]} == {
        "REQUEST_WEIGHT-MINUTE",
        "ORDERS-SECOND",
        "ORDERS-DAY",
    }


# -- orders


async def test_a_duplicate_is_one_only_while_the_first_is_open(bare: Bare) -> None:
    first = (await bare.order(newClientOrderId="same")).body
    refused = await bare.order(newClientOrderId="same")
    assert (refused.code, refused.body["msg"]) == (-2010, "Duplicate order sent.")
    await bare("DELETE", "order", symbol="BTCUSDT", origClientOrderId="same")
    second = (await bare.order(newClientOrderId="same")).body
    assert second["orderId"] != first["orderId"]
    found = (await bare("GET", "order", symbol="BTCUSDT", origClientOrderId="same")).body
    assert found["orderId"] == second["orderId"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("ACK", False), ("RESULT", True), ("FULL", True)],
)
async def test_answers_are_as_long_as_asked(bare: Bare, kind: str, fields: bool) -> None:
    body = (await bare.order(newOrderRespType=kind)).body
    assert ("executedQty" in body, "fills" in body) == (fields, kind == "FULL")


async def test_a_market_order_by_quote_quantity(bare: Bare, venue: BinanceVenue) -> None:
    params: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quoteOrderQty": "1000",
    }
    body = (await bare("POST", "order", **params)).body
    spent = sum(Decimal(f["price"]) * Decimal(f["qty"]) for f in body["fills"])
    assert (body["status"], Decimal(body["cummulativeQuoteQty"])) == ("FILLED", spent)
    assert 999 < spent <= 1000
    fees = sum(Decimal(fill["commission"]) for fill in body["fills"])
    gained = venue.exchange.balances("runner")["BTC"].free - 10
    assert gained == Decimal(body["executedQty"]) - fees


async def test_a_maker_that_would_take(bare: Bare) -> None:
    order = limit_order(type="LIMIT_MAKER", price="60100")
    del order["timeInForce"]
    refused = await bare("POST", "order", **order)
    assert refused.body["msg"] == "Order would immediately match and take."


async def test_a_test_order_places_nothing(bare: Bare) -> None:
    assert (await bare("POST", "order/test", **limit_order())).body == {}
    assert (await bare("GET", "openOrders")).body == []


async def test_orders_are_found_by_either_id_and_both_must_fit(bare: Bare) -> None:
    order = (await bare.order(newClientOrderId="a")).body
    ask: dict[str, Any] = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert (await bare("GET", "order", **ask)).body["clientOrderId"] == "a"
    wrong: list[dict[str, Any]] = [
        {**ask, "origClientOrderId": "b"},
        {**ask, "symbol": "ETHUSDT"},
        {"symbol": "BTCUSDT", "orderId": 12345},
        {"symbol": "BTCUSDT", "origClientOrderId": "b"},
    ]
    for params in wrong:
        assert (await bare("GET", "order", **params)).code == -2013
    assert (await bare("GET", "order", symbol="BTCUSDT")).code == -1102


async def test_cancelling_twice_or_nothing(bare: Bare) -> None:
    await bare.order(newClientOrderId="a")
    ask: dict[str, Any] = {"symbol": "BTCUSDT", "origClientOrderId": "a"}
    done = (await bare("DELETE", "order", **ask, newClientOrderId="why")).body
    assert (done["status"], done["origClientOrderId"], done["clientOrderId"]) == (
        "CANCELED",
        "a",
        "why",
    )
    again = await bare("DELETE", "order", **ask)
    assert (again.code, again.body["msg"]) == (-2011, "Unknown order sent.")
    assert (await bare("DELETE", "openOrders", symbol="BTCUSDT")).code == -2011


async def test_cancelling_all_of_a_symbol(bare: Bare) -> None:
    for number in range(3):
        await bare.order(newClientOrderId=f"a{number}")
    await bare("POST", "order", **limit_order(symbol="ETHUSDT", price="2000", quantity="1"))
    cancelled = (await bare("DELETE", "openOrders", symbol="BTCUSDT")).body
    assert [order["origClientOrderId"] for order in cancelled] == ["a0", "a1", "a2"]
    assert [order["symbol"] for order in (await bare("GET", "openOrders")).body] == ["ETHUSDT"]


async def test_another_account_sees_nothing(bare: Bare, venue: BinanceVenue) -> None:
    order = (await bare.order()).body
    venue.add_key("other", hmac_secret="kit-secret", account="other")
    assert (await bare("GET", "openOrders", key="other")).body == []
    asked = await bare("GET", "order", key="other", symbol="BTCUSDT", orderId=order["orderId"])
    assert asked.code == -2013


async def test_a_halted_symbol(bare: Bare, venue: BinanceVenue) -> None:
    venue.exchange.halted.add("BTCUSDT")
    assert (await bare.order()).body["msg"] == "Market is closed."


# -- trades


async def test_trades_by_cursor_time_and_order(bare: Bare, venue: BinanceVenue) -> None:
    venue.crowd.withdraw("BTCUSDT")
    made = []
    for price in range(59000, 59005):
        made.append((await bare.order(price=str(price))).body["orderId"])
        venue.crowd.take("BTCUSDT", Side.SELL, Decimal("0.01"))
    trades = (await bare("GET", "myTrades", symbol="BTCUSDT")).body
    assert [trade["orderId"] for trade in trades] == made
    ids = [trade["id"] for trade in trades]

    async def asked(**params: Any) -> list[int]:
        answer = await bare("GET", "myTrades", symbol="BTCUSDT", **params)
        return [trade["id"] for trade in answer.body]

    assert await asked(fromId=ids[1], limit=2) == ids[1:3]
    assert await asked(limit=2) == ids[-2:]
    assert await asked(orderId=made[3]) == [ids[3]]
    assert await asked(startTime=trades[0]["time"], limit=2) == ids[:2]
    assert await asked(startTime=now() + 1000) == []
    both = await bare("GET", "myTrades", symbol="BTCUSDT", fromId=1, startTime=1)
    assert both.code == -1128
    wide: dict[str, Any] = {"startTime": 0, "endTime": 86_400_001}
    assert (await bare("GET", "myTrades", symbol="BTCUSDT", **wide)).code == -1127


async def test_trade_ids_are_a_symbols_own(bare: Bare, venue: BinanceVenue) -> None:
    for symbol, quantity in (("BTCUSDT", "0.01"), ("ETHUSDT", "1")):
        await bare("POST", "order", symbol=symbol, side="BUY", type="MARKET", quantity=quantity)
    btc, eth = [
        {trade["id"] for trade in (await bare("GET", "myTrades", symbol=symbol)).body}
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert max(btc | eth) < 10, "both count from 1"


# -- limits


async def test_weight_is_reported_and_its_end_is_429_then_418() -> None:
    async with funded(weight_limit=50) as venue, aiohttp.ClientSession() as session:
        bare = Bare(venue, session)
        first = await bare("GET", "account")
        assert first.headers["X-MBX-USED-WEIGHT-1M"] == "20"
        statuses = [(await bare("GET", "account")) for _ in range(14)]
    assert [answer.status for answer in statuses[:3]] == [200, 429, 429]
    assert statuses[1].code == -1003
    assert 0 < int(statuses[1].headers["Retry-After"]) <= 60
    assert (statuses[-1].status, int(statuses[-1].headers["Retry-After"]) > 60) == (418, True)


async def test_order_limits_are_reported_and_have_no_retry_after() -> None:
    async with funded(order_limit=3) as venue, aiohttp.ClientSession() as session:
        bare = Bare(venue, session)
        answers = [await bare.order() for _ in range(8)]
    assert answers[0].headers["X-MBX-ORDER-COUNT-10S"] == "1"
    late = [answer for answer in answers if answer.status == 429]
    assert late
    assert {(answer.code, "Retry-After" in answer.headers) for answer in late} == {(-1015, False)}


# -- the rest


async def test_what_is_gone_and_what_never_was(bare: Bare) -> None:
    assert (await bare("POST", "userDataStream", signed=False)).status == 410
    assert (await bare("GET", "nothing", signed=False)).status == 404
    assert (await bare("PUT", "order", signed=False)).status == 405


async def test_public_answers(bare: Bare, venue: BinanceVenue) -> None:
    best = (await bare("GET", "ticker/bookTicker", signed=False, symbol="BTCUSDT")).body
    assert (best["bidPrice"], best["askPrice"]) == ("59994.00000000", "60006.00000000")
    depth = (await bare("GET", "depth", signed=False, symbol="BTCUSDT", limit=2)).body
    assert [len(depth[side]) for side in ("bids", "asks")] == [2, 2]
    assert depth["bids"][0][0] == best["bidPrice"]
    both = '["BTCUSDT","ETHUSDT"]'
    prices = (await bare("GET", "ticker/price", signed=False, symbols=both)).body
    assert [price["symbol"] for price in prices] == ["BTCUSDT", "ETHUSDT"]
    trade = venue.crowd.take("BTCUSDT", Side.BUY, Decimal("0.01"))
    assert trade is not None
    [last] = (await bare("GET", "trades", signed=False, symbol="BTCUSDT", limit=1)).body
    assert (last["price"], last["isBuyerMaker"]) == ("60006.00000000", False)
    assert (await bare("GET", "depth", signed=False, symbol="NOPE")).code == -1121


async def test_the_venue_remembers_what_reached_it(bare: Bare, venue: BinanceVenue) -> None:
    await bare.order(newClientOrderId="mine")
    await bare("DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine")
    assert [(r.method, r.path, r.client_id) for r in venue.requests] == [
        ("POST", "/api/v3/order", "mine"),
        ("DELETE", "/api/v3/order", "mine"),
    ]
