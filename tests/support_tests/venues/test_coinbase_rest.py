"""What the venue answers, where a client library would hide it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.support.venues.coinbase import BTC_USD, CoinbaseVenue, Replay
from tests.support.venues.coinbase.limits import RateLimit
from tests.support.venues.exchange import Side
from tests.support_tests.venues.coinbase_fixtures import (
    Client,
    client_of,
    limit,
    other,
    quiet_venue,
)

D = Decimal


@pytest.fixture
async def venue() -> AsyncIterator[CoinbaseVenue]:
    async with quiet_venue() as venue:
        yield venue


@pytest.fixture
async def client(venue: CoinbaseVenue) -> AsyncIterator[Client]:
    async with client_of(venue) as client:
        yield client


# -- creating


def configured(kind: str, **sizes: Any) -> dict[str, Any]:
    return {**limit("mine"), "order_configuration": {kind: sizes}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (limit("mine", size="9"), "INSUFFICIENT_FUND"),
        (limit("mine", price="49995.001"), "INVALID_PRICE_PRECISION"),
        (limit("mine", size="0.000000001"), "INVALID_REQUEST"),
        (limit("mine", size="0.1000000001"), "INVALID_SIZE_PRECISION"),
        (limit("mine", price="0.01"), "LIMIT_PRICE_TOO_FAR_FROM_MARKET"),
        ({**limit("mine"), "product_id": "DOGE-USD"}, "INVALID_PRODUCT_ID"),
        ({**limit("mine"), "side": "LONG"}, "INVALID_SIDE"),
        (
            configured("limit_limit_gtc", base_size="1", limit_price="50020", post_only=True),
            "INVALID_LIMIT_PRICE_POST_ONLY",
        ),
        (configured("market_market_ioc"), "UNSUPPORTED_ORDER_CONFIGURATION"),
        (configured("twap_limit_gtd", base_size="1"), "UNSUPPORTED_ORDER_CONFIGURATION"),
        (
            {**configured("market_market_ioc", quote_size="10"), "side": "SELL"},
            "UNSUPPORTED_ORDER_CONFIGURATION",
        ),
    ],
)
async def test_a_refused_order_is_an_answer_with_its_reason(
    client: Client, venue: CoinbaseVenue, body: dict[str, Any], reason: str
) -> None:
    answer = await client.post("/orders", body)
    assert not answer["success"]
    refusal = answer["error_response"]
    assert refusal["new_order_failure_reason"] == refusal["error"] == reason
    assert answer["order_configuration"] == body["order_configuration"]
    assert not venue.exchange.orders("runner")
    # A refused order has used up nothing: its id can be tried again.
    assert await client.place(limit("mine"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"client_order_id": ""}, "client_order_id is required"),
        ({"order_configuration": {}}, "exactly one entry"),
        ({"order_configuration": {"limit_limit_gtc": {"base_size": 1}}}, "must be a string"),
        ({"order_configuration": {"limit_limit_gtc": {"base_size": "x"}}}, "is not a number"),
        ({"order_configuration": {"limit_limit_gtc": {"base_size": "-1"}}}, "must be positive"),
    ],
)
async def test_a_malformed_order_is_a_bad_request(
    client: Client, change: dict[str, Any], what: str
) -> None:
    status, content, _ = await client.call("POST", "/orders", {**limit("mine"), **change})
    assert (status, content["error"]) == (400, "INVALID_ARGUMENT")
    assert what in content["message"]


@pytest.mark.parametrize(
    ("kind", "sizes", "status", "filled"),
    [
        ("sor_limit_ioc", {"base_size": "1.5", "limit_price": "50010"}, "CANCELLED", "1"),
        ("limit_limit_fok", {"base_size": "1.5", "limit_price": "50010"}, "CANCELLED", "0"),
        ("limit_limit_fok", {"base_size": "0.5", "limit_price": "50010"}, "FILLED", "0.5"),
        ("market_market_ioc", {"base_size": "0.5"}, "FILLED", "0.5"),
        ("limit_limit_gtc", {"base_size": "1.5", "limit_price": "50010"}, "OPEN", "1"),
    ],
)
async def test_how_long_orders_live(
    client: Client, kind: str, sizes: dict[str, str], status: str, filled: str
) -> None:
    order_id = await client.place(configured(kind, **sizes))
    order = (await client.get(f"/orders/historical/{order_id}"))["order"]
    assert (order["status"], order["filled_size"]) == (status, filled)
    assert order["order_configuration"] == {kind: sizes}


async def test_fees_are_taken_in_quote_units_on_top(client: Client, venue: CoinbaseVenue) -> None:
    await client.place(configured("market_market_ioc", base_size="0.5"))
    (fill,) = (await client.get("/orders/historical/fills"))["fills"]
    assert fill["commission"] == "25.005"
    balances = venue.exchange.balances("runner")
    assert balances["BTC"].total == D("2.5")
    assert balances["USD"].total == 100_000 - D("25005") - D("25.005")


async def test_a_quote_size_is_all_that_is_spent_fee_included(
    client: Client, venue: CoinbaseVenue
) -> None:
    order_id = await client.place(configured("market_market_ioc", quote_size="1000"))
    order = (await client.get(f"/orders/historical/{order_id}"))["order"]
    left = venue.exchange.balances("runner")["USD"].total
    assert 0 <= left - 99_000 < D("0.001")
    assert D(order["total_value_after_fees"]) == 100_000 - left
    assert order["size_inclusive_of_fees"]


async def test_a_sale_brings_its_value_less_the_fee(client: Client, venue: CoinbaseVenue) -> None:
    sale = {**configured("market_market_ioc", base_size="0.5"), "side": "SELL"}
    order_id = await client.place(sale)
    order = (await client.get(f"/orders/historical/{order_id}"))["order"]
    assert D(order["total_value_after_fees"]) == D("24995") - D("24.995")
    assert venue.exchange.balances("runner")["USD"].total == 100_000 + D("24970.005")


# -- a client_order_id that was used before


@pytest.mark.parametrize("closed", [False, True], ids=["still open", "long closed"])
async def test_a_repeated_client_order_id_gives_the_old_order_as_success(
    client: Client, venue: CoinbaseVenue, closed: bool
) -> None:
    venue.behaviour.replay = Replay.ORDER
    old = await client.place(limit("mine", size="0.1"))
    if closed:
        await client.post("/orders/batch_cancel", {"order_ids": [old]})
    answer = await client.post("/orders", limit("mine", side="SELL", size="0.7", price="60000"))
    assert answer["success"]
    assert answer["success_response"]["order_id"] == old
    assert answer["success_response"]["side"] == "BUY"
    assert answer["order_configuration"]["limit_limit_gtc"]["base_size"] == "0.1"
    assert len(venue.exchange.orders("runner")) == 1


async def test_as_observed_only_the_order_id_gives_a_replay_away(
    client: Client, venue: CoinbaseVenue
) -> None:
    old = await client.place(limit("mine", size="0.1"))
    new = limit("mine", side="SELL", size="0.7", price="60000")
    answer = await client.post("/orders", new)
    assert answer["success"]
    assert answer["success_response"]["side"] == "SELL"
    assert answer["order_configuration"] == new["order_configuration"]
    assert answer["success_response"]["order_id"] == old
    order = (await client.get(f"/orders/historical/{old}"))["order"]
    assert (order["side"], order["order_configuration"]["limit_limit_gtc"]["base_size"]) == (
        "BUY",
        "0.1",
    )


async def test_a_replay_is_one_even_when_its_body_could_never_be_an_order(client: Client) -> None:
    old = await client.place(limit("mine"))
    answer = await client.post("/orders", {"client_order_id": "mine"})
    assert answer["success_response"]["order_id"] == old


async def test_a_replay_may_be_refused_instead(client: Client, venue: CoinbaseVenue) -> None:
    venue.behaviour.replay = Replay.REFUSE
    await client.place(limit("mine"))
    answer = await client.post("/orders", limit("mine"))
    assert answer["error_response"]["new_order_failure_reason"] == "DUPLICATE_CLIENT_ORDER_ID"


async def test_client_order_ids_are_each_accounts_own(client: Client, venue: CoinbaseVenue) -> None:
    async with client_of(venue, account="third") as third:
        assert await client.place(limit("same")) != await third.place(limit("same"))


# -- cancelling


async def test_cancels_are_answered_one_by_one(client: Client, venue: CoinbaseVenue) -> None:
    resting, filled = await client.place(limit("a")), await client.place(limit("b"))
    other(venue, Side.SELL, "0.1", "49995")  # takes the older one, a
    results = (
        await client.post("/orders/batch_cancel", {"order_ids": [resting, filled, "nonsense"]})
    )["results"]
    assert [(r["success"], r["failure_reason"]) for r in results] == [
        (False, "ORDER_IS_FULLY_FILLED"),
        (True, "UNKNOWN_CANCEL_FAILURE_REASON"),
        (False, "UNKNOWN_CANCEL_ORDER"),
    ]
    again = (await client.post("/orders/batch_cancel", {"order_ids": [filled]}))["results"]
    assert again[0]["failure_reason"] == "UNKNOWN_CANCEL_ORDER"


async def test_an_accepted_cancel_may_still_lose_to_a_fill(
    client: Client, venue: CoinbaseVenue
) -> None:
    venue.behaviour.cancel_lag = 0.3
    order_id = await client.place(limit("mine"))
    (result,) = (await client.post("/orders/batch_cancel", {"order_ids": [order_id]}))["results"]
    assert result["success"]
    order = (await client.get(f"/orders/historical/{order_id}"))["order"]
    assert (order["status"], order["pending_cancel"]) == ("CANCEL_QUEUED", True)
    (result,) = (await client.post("/orders/batch_cancel", {"order_ids": [order_id]}))["results"]
    assert result["failure_reason"] == "DUPLICATE_CANCEL_REQUEST"
    other(venue, Side.SELL, "0.1", "49995")
    order = (await client.get(f"/orders/historical/{order_id}"))["order"]
    assert (order["status"], order["pending_cancel"]) == ("FILLED", False)


async def test_a_lagging_cancel_is_carried_out(client: Client, venue: CoinbaseVenue) -> None:
    venue.behaviour.cancel_lag = 0.05
    order_id = await client.place(limit("mine"))
    async with client.stream("user") as stream:
        await client.post("/orders/batch_cancel", {"order_ids": [order_id]})
        statuses = [order["status"] for order in await stream.hear_orders(3)]
    assert statuses == ["OPEN", "CANCEL_QUEUED", "CANCELLED"]


# -- asking


async def test_orders_are_listed_newest_first_by_page_and_filter(client: Client) -> None:
    ids = [await client.place(limit(f"mine-{n}", size="0.01")) for n in range(5)]
    await client.post("/orders/batch_cancel", {"order_ids": [ids[1]]})
    seen: list[str] = []
    cursor = ""
    while True:
        page = await client.get("/orders/historical/batch", limit=2, cursor=cursor)
        seen += [order["order_id"] for order in page["orders"]]
        cursor = page["cursor"]
        assert page["has_next"] is bool(cursor)
        if not cursor:
            break
    assert seen == ids[::-1]

    async def listed(**params: Any) -> list[str]:
        page = await client.get("/orders/historical/batch", **params)
        return [order["order_id"] for order in page["orders"]]

    assert await listed(order_status="OPEN") == [ids[4], ids[3], ids[2], ids[0]]
    assert await listed(order_status=["CANCELLED", "FILLED"]) == [ids[1]]
    assert await listed(order_ids=ids[:2]) == [ids[1], ids[0]]
    assert await listed(product_ids="ETH-USD") == []
    assert await listed(order_side="SELL") == []
    assert len(await listed(order_side="BUY")) == 5
    third = (await client.get(f"/orders/historical/{ids[3]}"))["order"]["created_time"]
    assert await listed(start_date=third) == [ids[4], ids[3]]
    assert await listed(end_date=third) == [ids[2], ids[1], ids[0]]


async def test_fills_are_listed_newest_first_by_page_and_filter(
    client: Client, venue: CoinbaseVenue
) -> None:
    order_id = await client.place(limit("mine", size="0.5"))
    for _ in range(5):
        other(venue, Side.SELL, "0.1", "49995")
    first = await client.get("/orders/historical/fills", limit=3)
    other(venue, Side.BUY, "0.5", "50010", account="third")
    await client.place(limit("more", side="SELL", size="0.2", price="49990"))
    second = await client.get("/orders/historical/fills", limit=3, cursor=first["cursor"])
    fills = first["fills"] + second["fills"]
    assert len({fill["entry_id"] for fill in fills}) == len(fills) == 5
    assert second["cursor"] == ""
    times = [fill["sequence_timestamp"] for fill in fills]
    assert times == sorted(times, reverse=True)
    assert {fill["order_id"] for fill in fills} == {order_id}

    async def listed(**params: Any) -> int:
        return len((await client.get("/orders/historical/fills", **params))["fills"])

    assert await listed() == 6
    assert await listed(order_ids=order_id) == 5
    assert await listed(trade_ids=fills[0]["trade_id"]) == 1
    assert await listed(start_sequence_timestamp=times[0]) == 2
    assert await listed(product_ids="ETH-USD") == 0


async def test_fills_of_several_products_are_one_list() -> None:
    """Each product counts its trades by itself: a cursor by trade id would lose some."""
    ether = replace(BTC_USD, symbol="ETH-USD", base="ETH", start_price=D(3000))
    async with quiet_venue(markets=[BTC_USD, ether]) as venue, client_of(venue) as client:
        for n in range(3):
            for product, size in (("BTC-USD", "0.01"), ("ETH-USD", "0.1")):
                body = {**configured("market_market_ioc", base_size=size), "product_id": product}
                await client.place({**body, "client_order_id": f"{product}-{n}"})
        seen: list[dict[str, Any]] = []
        cursor = ""
        while cursor or not seen:
            page = await client.get("/orders/historical/fills", limit=1, cursor=cursor)
            seen, cursor = seen + page["fills"], page["cursor"]
    assert [fill["product_id"] for fill in seen] == ["ETH-USD", "BTC-USD"] * 3
    assert len({fill["trade_id"] for fill in seen}) == 6


@pytest.mark.parametrize(
    ("path", "params", "what"),
    [
        ("batch", {"order_status": ["OPEN", "FILLED"]}, "Cannot pair OPEN"),
        ("batch", {"cursor": "rubbish"}, "not given out"),
        ("batch", {"limit": "many"}, "not a number"),
        ("batch", {"start_date": "yesterday"}, "RFC 3339"),
        ("batch", {"order_statuses": "OPEN"}, "unknown parameter order_statuses"),
        ("fills", {"start_date": "2024-01-01T00:00:00Z"}, "unknown parameter start_date"),
    ],
)
async def test_a_wrong_query_is_refused(
    client: Client, path: str, params: dict[str, Any], what: str
) -> None:
    status, content, _ = await client.call("GET", f"/orders/historical/{path}", **params)
    assert status == 400
    assert what in content["message"]


async def test_the_history_may_lag_behind_what_was_accepted(
    client: Client, venue: CoinbaseVenue
) -> None:
    venue.behaviour.history_lag = 60
    order_id = await client.place(limit("mine"))
    assert (await client.get("/orders/historical/batch"))["orders"] == []
    status, content, _ = await client.call("GET", f"/orders/historical/{order_id}")
    assert (status, content["error"]) == (404, "NOT_FOUND")
    venue.behaviour.history_lag = 0
    assert (await client.get(f"/orders/historical/{order_id}"))["order"]["status"] == "OPEN"
    assert len((await client.get("/orders/historical/batch"))["orders"]) == 1


async def test_accounts_by_page(client: Client) -> None:
    first = await client.get("/accounts", limit=1)
    second = await client.get("/accounts", limit=1, cursor=first["cursor"])
    assert first["has_next"]
    assert not second["has_next"]
    named = [page["accounts"][0]["currency"] for page in (first, second)]
    assert sorted(named) == ["BTC", "USD"]
    one = await client.get(f"/accounts/{first['accounts'][0]['uuid']}")
    assert one["account"] == first["accounts"][0]


async def test_an_account_sees_nothing_of_another(client: Client, venue: CoinbaseVenue) -> None:
    async with client_of(venue, account="third") as third:
        order_id = await third.place(limit("theirs"))
    assert (await client.get("/orders/historical/batch"))["orders"] == []
    assert (await client.call("GET", f"/orders/historical/{order_id}"))[0] == 404
    (result,) = (await client.post("/orders/batch_cancel", {"order_ids": [order_id]}))["results"]
    assert result["failure_reason"] == "UNKNOWN_CANCEL_ORDER"


# -- who may ask, and how often


async def test_a_token_is_good_for_its_own_request_only(
    client: Client, venue: CoinbaseVenue
) -> None:
    for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer x.y.z"}):
        async with client.http.get(
            f"{venue.rest_url}/api/v3/brokerage/accounts", headers=headers
        ) as response:
            assert (response.status, await response.text()) == (401, "Unauthorized\n")
    venue.clock_skew = 121
    assert (await client.call("GET", "/accounts"))[0] == 401
    venue.clock_skew = 0
    assert (await client.call("GET", "/accounts"))[0] == 200


def test_requests_are_limited_by_the_second() -> None:
    now = 1000.0
    rate = RateLimit(2, lambda: now)
    assert [rate.take("a").passes for _ in range(3)] == [True, True, False]
    assert rate.take("b").passes
    now = 1001.0
    taken = rate.take("a")
    assert taken.passes
    assert taken.headers["x-ratelimit-remaining"] == "1"
    assert all(RateLimit(None, lambda: now).take("a").passes for _ in range(1000))


async def test_too_many_requests_have_their_own_answer() -> None:
    async with quiet_venue(private_rate=0) as venue, client_of(venue) as client:
        status, content, response = await client.call("POST", "/orders", limit("mine"))
        assert (status, content["errors"][0]["id"]) == (429, "rate_limit_exceeded")
        assert response.headers["Retry-After"] == "1"
        assert response.headers["x-ratelimit-limit"] == "0"
        assert not venue.exchange.orders("runner")
