"""Each way in which the venue can be made to fail, as a client sees it, and what is true then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.support.venues.coinbase import CoinbaseVenue, Timing
from tests.support.venues.exchange import Side
from tests.support.venues.faults import Fault
from tests.support_tests.venues.coinbase_fixtures import (
    Client,
    client_of,
    limit,
    other,
    quiet_venue,
)


@pytest.fixture
async def venue() -> AsyncIterator[CoinbaseVenue]:
    async with quiet_venue(timing=Timing(heartbeat=0.05)) as venue:
        yield venue


@pytest.fixture
async def client(venue: CoinbaseVenue) -> AsyncIterator[Client]:
    async with client_of(venue) as client:
        yield client


# -- of requests


@pytest.mark.parametrize(
    ("kind", "orders"),
    [("timeout_after_accept", 1), ("reset_after_accept", 1), ("timeout_before_accept", 0)],
)
async def test_no_answer_comes_and_only_asking_tells_what_happened(
    client: Client, venue: CoinbaseVenue, kind: str, orders: int
) -> None:
    venue.faults.add(Fault(on="place", kind=kind, seconds=0.1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.call("POST", "/orders", limit("mine"))
    found = (await client.get("/orders/historical/batch"))["orders"]
    assert [order["client_order_id"] for order in found] == ["mine"] * orders


async def test_an_unanswered_request_lasts_as_long_as_its_client_waits(
    client: Client, venue: CoinbaseVenue
) -> None:
    venue.faults.add(Fault(on="place", kind="timeout_after_accept", seconds=60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.call("POST", "/orders", limit("mine"))
    assert len(venue.exchange.orders("runner")) == 1


@pytest.mark.parametrize(
    ("kind", "orders"), [("error_after_accept", 1), ("error_before_accept", 0)]
)
async def test_a_500_says_nothing_about_what_was_done(
    client: Client, venue: CoinbaseVenue, kind: str, orders: int
) -> None:
    venue.faults.add(Fault(on="place", kind=kind))
    status, content, _ = await client.call("POST", "/orders", limit("mine"))
    assert (status, content["error"]) == (500, "INTERNAL")
    assert len(venue.exchange.orders("runner")) == orders


@pytest.mark.parametrize("kind", ["throttle", "ban"])
async def test_throttled(client: Client, venue: CoinbaseVenue, kind: str) -> None:
    venue.faults.add(Fault(on="place", kind=kind, seconds=7, times=2))
    for _ in range(2):
        status, _, response = await client.call("POST", "/orders", limit("mine"))
        assert (status, response.headers["Retry-After"]) == (429, "7")
    assert not venue.exchange.orders("runner")
    assert await client.place(limit("mine"))


async def test_a_delayed_request_is_carried_out_when_the_delay_is_over(
    client: Client, venue: CoinbaseVenue
) -> None:
    venue.faults.add(Fault(on="place", kind="delay", seconds=0.2))
    placing = asyncio.create_task(client.place(limit("mine")))
    await client.get("/accounts")  # later, but answered first
    assert not venue.exchange.orders("runner")
    assert await placing


@pytest.mark.parametrize(
    ("on", "method", "path", "params"),
    [
        ("cancel", "POST", "/orders/batch_cancel", {}),
        ("query", "GET", "/orders/historical/batch", {}),
        ("query", "GET", "/orders/historical/11111111-1111-1111-1111-111111111111", {}),
        ("open_orders", "GET", "/orders/historical/batch", {"order_status": "OPEN"}),
        ("trades", "GET", "/orders/historical/fills", {}),
        ("account", "GET", "/accounts", {}),
        ("market", "GET", "/products", {}),
        ("any", "GET", "/key_permissions", {}),
    ],
)
async def test_every_kind_of_request_has_its_faults(
    client: Client, venue: CoinbaseVenue, on: str, method: str, path: str, params: dict[str, str]
) -> None:
    venue.faults.add(Fault(on=on, kind="error_before_accept"))
    status, _, _ = await client.call(method, path, {"order_ids": []}, **params)
    assert status == 500
    assert [fault.on for fault in venue.faults.fired] == [on]
    status, _, _ = await client.call(method, path, {"order_ids": []}, **params)
    assert status in (200, 404)


async def test_a_request_that_may_not_be_made_meets_no_fault(
    client: Client, venue: CoinbaseVenue
) -> None:
    """Or a fault meant for an order would be spent on one that could never be accepted."""
    venue.faults.add(Fault(on="place", kind="timeout_after_accept", seconds=0.1))
    venue.clock_skew = 300
    assert (await client.call("POST", "/orders", limit("mine")))[0] == 401
    assert not venue.faults.fired


async def test_every_request_that_reached_the_venue_is_noted(
    client: Client, venue: CoinbaseVenue
) -> None:
    venue.faults.add(Fault(on="place", kind="error_before_accept"))
    await client.call("POST", "/orders", limit("mine"))
    venue.clock_skew = 300
    await client.call("POST", "/orders", limit("stale"))
    noted = [(r.method, r.path, r.client_id) for r in venue.requests]
    assert noted == [
        ("POST", "/api/v3/brokerage/orders", "mine"),
        ("POST", "/api/v3/brokerage/orders", "stale"),
    ]
    assert venue.requests[1].time - venue.requests[0].time >= 300


# -- of streams


async def test_dropped_fills_leave_no_trace_in_the_stream(
    client: Client, venue: CoinbaseVenue
) -> None:
    async with client.stream("user", "heartbeats") as stream:
        await stream.hear_on("heartbeats")
        venue.faults.add(Fault(on="stream", kind="drop_fills"))
        order_id = await client.place(limit("mine", size="0.1"))
        other(venue, Side.SELL, "0.1", "49995")
        await client.place(limit("next", price="40000"))
        heard = [await stream.hear() for _ in range(8)]
    told = [
        (order["client_order_id"], order["status"])
        for message in heard
        if message["channel"] == "user"
        for event in message["events"]
        for order in event["orders"]
    ]
    assert told[:4] == [
        ("mine", "PENDING"),
        ("mine", "OPEN"),
        ("next", "PENDING"),
        ("next", "OPEN"),
    ]
    numbers = [message["sequence_num"] for message in heard]
    assert numbers == list(range(numbers[0], numbers[0] + 8)), "and no gap gives it away"
    assert (await client.get(f"/orders/historical/{order_id}"))["order"]["status"] == "FILLED"
    assert len((await client.get("/orders/historical/fills"))["fills"]) == 1


async def test_reordered_and_repeated_messages(client: Client, venue: CoinbaseVenue) -> None:
    async with client.stream("user") as stream:
        await stream.hear_on("subscriptions")
        venue.faults.add(Fault(on="stream", kind="reorder_stream"))
        await client.place(limit("mine"))
        assert [order["status"] for order in await stream.hear_orders(2)] == ["OPEN", "PENDING"]
        venue.faults.add(Fault(on="stream", kind="duplicate_ack"))
        other(venue, Side.SELL, "0.1", "49995")
        assert [order["status"] for order in await stream.hear_orders(2)] == ["FILLED", "FILLED"]


async def test_a_cut_stream_ends_at_once_and_a_new_one_begins_with_what_is_true(
    client: Client, venue: CoinbaseVenue
) -> None:
    order_id = await client.place(limit("mine", size="0.2"))
    async with client.stream("user") as stream:
        await stream.hear_on("subscriptions")
        venue.faults.add(Fault(on="stream", kind="cut_stream"))
        ended = await stream.socket.receive(timeout=10)
        assert ended.type in (WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSING)
    other(venue, Side.SELL, "0.1", "49995")
    async with client.stream("user") as stream:
        (order,) = (await stream.hear_on("user"))["events"][0]["orders"]
    assert (order["order_id"], order["cumulative_quantity"]) == (order_id, "0.1")


async def test_a_silent_stream_lives_and_says_nothing(client: Client, venue: CoinbaseVenue) -> None:
    async with client.stream("user", "heartbeats") as stream:
        await stream.hear_on("heartbeats")
        venue.faults.add(Fault(on="stream", kind="silence_stream", seconds=60))
        await client.place(limit("unheard"))
        venue.clock_skew = 61  # the silence is over
        await client.place(limit("heard"))
        (first,) = await stream.hear_orders(1)
    assert first["client_order_id"] == "heard"
