"""The WebSocket side: who hears what, in which order, and when a connection is ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType

from tests.support.venues.coinbase import CoinbaseVenue, Timing
from tests.support.venues.coinbase.keys import make_es256
from tests.support.venues.exchange import Side
from tests.support_tests.venues.coinbase_fixtures import (
    PRODUCT,
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


async def test_user_channel_snapshot_then_every_step_of_an_orders_life(
    client: Client, venue: CoinbaseVenue
) -> None:
    before = await client.place(limit("before"))
    async with client.stream("user") as stream:
        snapshot = (await stream.hear_on("user"))["events"][0]
        assert snapshot["type"] == "snapshot"
        assert [order["order_id"] for order in snapshot["orders"]] == [before]
        await client.post("/orders/batch_cancel", {"order_ids": [before]})
        order_id = await client.place(limit("mine", size="0.2"))
        other(venue, Side.SELL, "0.1", "49995")
        other(venue, Side.SELL, "0.1", "49995")
        told = await stream.hear_orders(6)
    assert [(o["status"], o["cumulative_quantity"], o["leaves_quantity"]) for o in told] == [
        ("CANCEL_QUEUED", "0", "0.1"),
        ("CANCELLED", "0", "0"),
        ("PENDING", "0", "0.2"),
        ("OPEN", "0", "0.2"),
        ("OPEN", "0.1", "0.1"),
        ("FILLED", "0.2", "0"),
    ]
    assert {o["order_id"] for o in told[2:]} == {order_id}
    assert (told[-1]["number_of_fills"], told[-1]["avg_price"]) == ("2", "49995")


@pytest.mark.parametrize(
    ("orders", "batches"), [(0, [0]), (49, [49]), (50, [50, 0]), (51, [50, 1])]
)
async def test_a_snapshot_comes_in_batches_of_which_the_last_is_not_full(
    client: Client, orders: int, batches: list[int]
) -> None:
    for number in range(orders):
        other(client.venue, Side.BUY, "0.001", str(49000 + number), account="runner")
    async with client.stream("user") as stream:
        heard = [len((await stream.hear_on("user"))["events"][0]["orders"]) for _ in batches]
        assert (await stream.hear())["channel"] == "subscriptions"
    assert heard == batches


async def test_users_hear_of_their_own_orders_in_the_products_they_asked_for(
    client: Client, venue: CoinbaseVenue
) -> None:
    async with client_of(venue, account="third") as third, client.stream("user") as stream:
        await stream.hear_on("subscriptions")
        await third.place(limit("theirs"))
        await client.place(limit("mine"))
        (told,) = await stream.hear_orders(1)
    assert told["client_order_id"] == "mine"


async def test_messages_of_a_connection_are_numbered_across_its_channels(
    client: Client, venue: CoinbaseVenue
) -> None:
    async with client.stream("user", "heartbeats") as stream:
        await client.place(limit("mine"))
        heard = [await stream.hear() for _ in range(8)]
        assert [message["sequence_num"] for message in heard] == list(range(8))
        venue.lose_message()
        last = 7
        while (number := (await stream.hear())["sequence_num"]) == last + 1:
            last = number
    assert number == last + 2, "a loss shows as a gap"


async def test_heartbeats_count(client: Client) -> None:
    async with client.stream("heartbeats") as stream:
        beats = [(await stream.hear_on("heartbeats"))["events"][0] for _ in range(3)]
    assert [beat["heartbeat_counter"] for beat in beats] == [1, 2, 3]


async def test_subscriptions_are_answered_with_all_there_are(client: Client) -> None:
    async with client.stream(url=client.venue.ws_url) as stream:
        listings = []
        for kind, channel in (
            ("subscribe", "heartbeats"),
            ("subscribe", "ticker"),
            ("unsubscribe", "ticker"),
            ("unsubscribe", "heartbeats"),
        ):
            await stream.say(kind, channel)
            listings.append((await stream.hear_on("subscriptions"))["events"][0]["subscriptions"])
    assert listings == [
        {"heartbeats": ["heartbeats"]},
        {"heartbeats": ["heartbeats"], "ticker": [PRODUCT]},
        {"heartbeats": ["heartbeats"]},
        {},
    ]


@pytest.mark.parametrize(
    ("channel", "jwt", "why"),
    [
        ("user", None, "authentication failure"),
        ("user", "rubbish", "authentication failure"),
        ("heartbeats", "rubbish", "authentication failure"),
        ("level2", "", "channel 'level2' is not supported"),
    ],
)
async def test_what_the_user_endpoint_refuses(
    client: Client, channel: str, jwt: str | None, why: str
) -> None:
    async with client.stream() as stream:
        await stream.say("subscribe", channel, jwt=jwt)
        assert await stream.hear() == {"type": "error", "message": why}


async def test_a_key_that_nobody_registered_hears_nothing(client: Client) -> None:
    client.pair = make_es256(client.pair.name)
    async with client.stream("user") as stream:
        assert (await stream.hear())["message"] == "authentication failure"


@pytest.mark.parametrize("text", ["", "[]", "3", '{"type": "hello", "channel": "user"}', "{"])
async def test_other_messages_are_refused(client: Client, text: str) -> None:
    async with client.stream() as stream:
        await stream.socket.send_str(text)
        assert (await stream.hear())["type"] == "error"


async def test_an_unknown_product_is_refused(client: Client) -> None:
    async with client.stream(url=client.venue.ws_url) as stream:
        await stream.say("subscribe", "ticker", "DOGE-USD", jwt=None)
        assert "DOGE-USD" in (await stream.hear())["message"]


async def test_market_channels_tell_levels_and_trades(client: Client, venue: CoinbaseVenue) -> None:
    async with client.stream("level2", "market_trades", "ticker", url=venue.ws_url) as stream:
        levels = (await stream.hear_on("l2_data"))["events"][0]
        assert [(u["side"], u["price_level"]) for u in levels["updates"]] == [
            ("bid", "49990"),
            ("offer", "50010"),
        ]
        for _ in range(3):
            await stream.hear_on("subscriptions")
        other(venue, Side.BUY, "1", "50010", account="third")
        gone = (await stream.hear_on("l2_data"))["events"][0]["updates"][0]
        assert (gone["price_level"], gone["new_quantity"]) == ("50010", "0")
        trade = (await stream.hear_on("market_trades"))["events"][0]["trades"][0]
        assert (trade["price"], trade["size"], trade["side"]) == ("50010", "1", "SELL")
        ticker = (await stream.hear_on("ticker"))["events"][0]["tickers"][0]
        assert (ticker["best_bid"], ticker["best_ask"]) == ("49990", "")


async def test_trades_are_reported_newest_first(client: Client, venue: CoinbaseVenue) -> None:
    async with client.stream("market_trades", url=venue.ws_url) as stream:
        await stream.hear_on("subscriptions")
        for size in ("0.1", "0.2"):
            other(venue, Side.BUY, size, "50010", account="third")
        (event,) = (await stream.hear_on("market_trades"))["events"]
        assert [trade["size"] for trade in event["trades"]] == ["0.2", "0.1"]
        await stream.subscribe("market_trades")
        (event,) = (await stream.hear_on("market_trades"))["events"]
    assert (event["type"], [t["size"] for t in event["trades"]]) == ("snapshot", ["0.2", "0.1"])


# -- when a connection is ended


async def ending(timing: Timing, *channels: str) -> int:
    """The close code of a connection to which nothing happens."""
    async with (
        quiet_venue(timing=timing) as venue,
        client_of(venue) as client,
        client.stream(*channels) as stream,
    ):
        while (message := await stream.socket.receive(timeout=10)).type is WSMsgType.TEXT:
            pass
        return int(message.data)


async def test_who_subscribes_to_nothing_is_ended() -> None:
    assert await ending(Timing(subscribe_within=0.05)) == 1008


async def test_a_channel_without_updates_is_ended() -> None:
    assert await ending(Timing(idle=0.05), "user") == 1008


async def test_heartbeats_keep_a_connection() -> None:
    timing = Timing(subscribe_within=0.1, idle=0.02, heartbeat=0.05)
    async with (
        quiet_venue(timing=timing) as venue,
        client_of(venue) as client,
        client.stream("heartbeats", "user") as stream,
    ):
        counted = [await stream.hear_on("heartbeats") for _ in range(6)]
    assert len(counted) == 6
