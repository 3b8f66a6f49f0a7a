"""The streams: gaps, silence, cuts; and quotes without them."""

from __future__ import annotations

import dataclasses
import time
from decimal import Decimal

import aiohttp
import pytest

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.coinbase_fixtures import (
    Bench,
    bench,
    build,
    buy,
    quiet_venue,
    store,
)
from tests.support.venues.coinbase.keys import make_ed25519
from tests.support.venues.exchange import Side as VenueSide
from tests.support.venues.faults import Fault
from tradepulse_runner.domain import OrderStatus, StreamLost, VenueOrder
from tradepulse_runner.errors import VenueDisconnected
from tradepulse_runner.venues.coinbase.feed import FeedLost, Numbering
from tradepulse_runner.venues.coinbase.wire import rfc3339

D = Decimal


def lost(b: Bench) -> list[str]:
    return [event.reason for event in b.heard if isinstance(event, StreamLost)]


# -- numbering ---------------------------------------------------------------------------------


def test_messages_are_counted() -> None:
    numbering = Numbering()
    assert [numbering.fresh({"sequence_num": n}) for n in (7, 8, 9)] == [True] * 3
    assert not numbering.fresh({"sequence_num": 8})  # late, or twice
    assert numbering.fresh({})
    with pytest.raises(FeedLost, match="messages 10 to 11 are missing"):
        numbering.fresh({"sequence_num": 12})


# -- the user stream ---------------------------------------------------------------------------


async def test_a_gap_in_the_numbers_is_a_lost_stream() -> None:
    async with bench() as b:
        b.venue.lose_message()
        await b.connector.place_order(buy(), "tp-1")
        await until(lambda: lost(b))
        assert "missing" in lost(b)[0]
        assert not b.connector.streaming
        await b.connector.connect()
        assert b.connector.streaming


async def test_silence_is_a_lost_stream() -> None:
    async with bench(silence=1.5) as b:
        b.venue.faults.add(Fault("stream", "silence_stream", seconds=30))
        await until(lambda: lost(b))
        assert "silent for 1.5 s" in lost(b)[0]


async def test_a_cut_is_a_lost_stream_and_the_next_connection_tells_what_is_open() -> None:
    async with bench() as b:
        placed = await b.connector.place_order(buy(), "tp-1")
        b.venue.faults.add(Fault("stream", "cut_stream"))
        b.place("0.1", "tp-2", price="49000")
        await until(lambda: lost(b))
        b.heard.clear()
        await b.connector.connect()
        await until(lambda: {e.client_id for e in b.heard if isinstance(e, VenueOrder)}
                    == {"tp-1", "tp-2"})  # fmt: skip
        assert placed in b.heard


async def test_an_update_that_tells_too_little_is_completed_by_asking() -> None:
    async with bench() as b:
        made = b.place("0.1", "tp-1", price="49000")
        await until(lambda: any(isinstance(e, VenueOrder) for e in b.heard))
        b.connector._known._orders.clear()  # as if this process had never heard of it
        b.heard.clear()
        b.venue.exchange.cancel("runner", made.id)
        await until(lambda: b.heard)
        told = b.heard[-1]
        assert isinstance(told, VenueOrder)
        assert told.status is OrderStatus.CANCELLED
        assert told.order.body_hash() == buy("49000").body_hash()


async def test_an_account_that_may_not_listen_is_not_connected() -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        connector = build(venue, store(pair), ws_user_url=venue.ws_url + "-nowhere")
        with pytest.raises(VenueDisconnected):
            await connector.connect()
        assert not connector.streaming
        with pytest.raises(VenueDisconnected):
            await connector.open_orders()


async def test_new_credentials_renew_the_subscription_without_losing_it() -> None:
    pair, new = make_ed25519("organizations/1/apiKeys/1"), make_ed25519("organizations/1/apiKeys/2")
    async with quiet_venue(pair) as venue:
        venue.add_key(new.name, new.public_key_pem)
        credentials = store(pair)
        connector = build(venue, credentials)
        made = Bench(venue, connector)
        await connector.connect()
        try:
            assert connector._user is not None
            feed = connector._user._feed
            now = dataclasses.replace(
                credentials.current, key=new.name, secret=new.secret, generation=2
            )
            credentials._current = now
            await until(lambda: feed.used == now)  # with the next heartbeat
            placed = await connector.place_order(buy(), "tp-1")
            await until(lambda: placed in made.heard)
            assert not lost(made)
        finally:
            await connector.disconnect()


# -- quotes ------------------------------------------------------------------------------------


async def test_the_ticker_moves_the_quote() -> None:
    async with bench() as b:
        b.place("0.5", "tp-1", price="50000")
        b.meet(VenueSide.SELL, "0.1", "50000")  # a trade: only then does a ticker speak
        await until(lambda: (q := b.connector.quote("BTC-USD")) and q.bid == 50000)


async def test_a_ticker_that_was_long_on_its_way_is_as_old_as_it_is() -> None:
    async with bench() as b:
        quotes = b.connector._quotes
        assert quotes is not None
        fresh = quotes.latest("BTC-USD")
        assert fresh is not None
        ticker = {"product_id": "BTC-USD", "best_bid": "1", "best_ask": "2"}
        said = rfc3339(int((time.time() - 60) * 1e6))
        message = {"channel": "ticker", "timestamp": said, "events": [{"tickers": [ticker]}]}
        quotes._process(message)
        assert quotes.latest("BTC-USD") == fresh
        quotes._latest.clear()
        quotes._process(message)
        late = quotes.latest("BTC-USD")
        assert late is not None
        assert time.time() - late.timestamp == pytest.approx(60, abs=5)


async def test_without_the_stream_quotes_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.quotes.FRESH", 0.1)
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.quotes.LOOK_EVERY", 0.05)
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        nowhere = venue.ws_url + "-nowhere"
        connector = build(venue, store(pair), ws_url=nowhere)
        made = Bench(venue, connector)
        made.meet(VenueSide.BUY, "1", "49990")
        made.meet(VenueSide.SELL, "1", "50010")
        await connector.connect()
        try:
            made.meet(VenueSide.BUY, "0.5", "50000")
            await until(lambda: (q := connector.quote("BTC-USD")) and q.bid == 50000)
            assert not lost(made)  # quotes are no proof of anything
        finally:
            await connector.disconnect()


# -- manners -----------------------------------------------------------------------------------


async def test_nothing_is_left_running_after_disconnecting() -> None:
    async with bench() as b:
        tasks, session = set(b.connector._tasks), b.connector._rest.session
        assert tasks
        await b.connector.disconnect()
        assert all(task.done() for task in tasks)
        assert isinstance(session, aiohttp.ClientSession)
        assert session.closed
        await b.connector.disconnect()
        assert not lost(b)
