"""The connector against a venue that speaks Coinbase's protocol."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from decimal import Decimal

import pytest

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.coinbase_fixtures import (
    bench,
    build,
    buy,
    market,
    quiet_venue,
    sell,
    store,
)
from tests.support.venues.coinbase.brokerage import Replay
from tests.support.venues.coinbase.keys import make_ed25519, make_es256
from tests.support.venues.exchange import Side as VenueSide
from tests.support.venues.faults import Fault
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import OrderRef, OrderStatus, Side, VenueOrder
from tradepulse_runner.errors import (
    CredentialsRefused,
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueDisconnected,
    VenueThrottled,
)

D = Decimal


async def test_connected_it_knows_quotes_steps_and_positions() -> None:
    async with bench() as b:
        quote = b.connector.quote("BTC-USD")
        assert quote is not None
        assert (quote.bid, quote.ask) == (D(49990), D(50010))
        assert not b.connector.instrument("BTC-USD").shortable
        assert b.connector.instrument("BTC-USD").tick == D("0.01")
        assert await b.connector.get_positions() == {"BTC-USD": D(2)}
        assert b.connector.streaming


async def test_an_order_is_placed_found_reported_and_cancelled() -> None:
    async with bench() as b:
        placed = await b.connector.place_order(buy(), "tp-1")
        assert placed.order.body_hash() == buy().body_hash()
        assert (placed.client_id, placed.status, placed.filled) == ("tp-1", OrderStatus.OPEN, D(0))
        assert [o.client_id for o in b.mine()] == ["tp-1"]
        assert await b.connector.open_orders() == [placed]
        assert (await b.connector.fetch_order(placed.ref)).venue_id == placed.venue_id
        await until(lambda: placed in b.heard)

        closed = await b.connector.cancel_order(placed.ref)
        assert (closed.status, closed.filled) == (OrderStatus.CANCELLED, D(0))
        assert not b.mine()
        again = await b.connector.cancel_order(placed.ref)  # as it closed
        assert again.status is OrderStatus.CANCELLED
        assert await b.connector.open_orders() == []


@pytest.mark.parametrize("side", Side)
async def test_a_market_order_fills_and_its_trades_have_fees_and_client_ids(side: Side) -> None:
    async with bench() as b:
        cursor = (await b.connector.trades_since(None)).cursor
        answer = await b.connector.place_order(market(side), "tp-1")
        assert answer.order.body_hash() == market(side).body_hash()
        done = await b.connector.fetch_order(answer.ref)
        assert (done.status, done.filled) == (OrderStatus.FILLED, D("0.1"))
        page = await b.connector.trades_since(cursor)
        [trade] = page.trades
        price = D(50010) if side is Side.BUY else D(49990)
        assert (trade.client_id, trade.side, trade.price) == ("tp-1", side, price)
        assert (trade.fee, trade.fee_symbol) == (price * D("0.1") * D("0.001"), "")
        assert (await b.connector.trades_since(page.cursor)).trades == ()
        assert await b.connector.get_positions() == {"BTC-USD": D(2) + side.sign * D("0.1")}


async def test_a_part_fill_is_reported_with_its_sum() -> None:
    async with bench() as b:
        placed = await b.connector.place_order(sell(), "tp-1")
        b.meet(VenueSide.BUY, "0.04", "50005")
        await until(lambda: any(isinstance(e, VenueOrder) and e.filled for e in b.heard))
        told = b.heard[-1]
        assert isinstance(told, VenueOrder)
        assert (told.status, told.filled) == (OrderStatus.PARTIALLY_FILLED, D("0.04"))
        assert told.order.body_hash() == sell().body_hash()
        closed = await b.connector.cancel_order(placed.ref)
        assert (closed.status, closed.filled) == (OrderStatus.CANCELLED, D("0.04"))
        await until(lambda: closed in b.heard)  # with what it asked for, not what was left


async def test_a_refused_order_certainly_does_not_exist() -> None:
    async with bench() as b:
        with pytest.raises(OrderRejected, match="INSUFFICIENT_FUND"):
            await b.connector.place_order(buy(quantity="100"), "tp-1")
        assert not b.mine()


async def test_an_order_that_never_was_is_not_found() -> None:
    async with bench() as b:
        await b.connector.place_order(buy(), "tp-1")
        with pytest.raises(OrderNotFound):
            await b.connector.fetch_order(OrderRef("tp-2", "BTC-USD", sent_at=1.0))
        with pytest.raises(OrderNotFound):
            await b.connector.cancel_order(OrderRef("tp-2", "BTC-USD", sent_at=1.0))


async def test_long_lists_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.orders.PAGE", ("limit", "7"))
    async with bench() as b:
        cursor = (await b.connector.trades_since(None)).cursor
        names = sorted(f"tp-{n}" for n in range(40))
        for name in names:
            b.place("0.001", name, price="49000")
        assert sorted(o.client_id for o in await b.connector.open_orders()) == names
        b.meet(VenueSide.SELL, "1.5", "49000")  # the bid of others first, ours after
        page = await b.connector.trades_since(cursor)
        assert sorted(t.client_id for t in page.trades) == names
        assert len({t.trade_id for t in page.trades}) == 40
        found = await b.connector.fetch_order(OrderRef("tp-3", "BTC-USD", sent_at=time.time()))
        assert found.status is OrderStatus.FILLED


async def test_cancels_made_at_once_share_a_request() -> None:
    async with bench() as b:
        refs = [(await b.connector.place_order(buy("49000", "0.01"), f"tp-{n}")).ref
                for n in range(20)]  # fmt: skip
        asked = len(b.venue.requests)
        closed = await asyncio.gather(*(b.connector.cancel_order(ref) for ref in refs))
        assert [o.status for o in closed] == [OrderStatus.CANCELLED] * 20
        assert [o.client_id for o in closed] == [ref.client_id for ref in refs]
        assert not b.mine()
        assert b.posts("/api/v3/brokerage/orders/batch_cancel") == 1
        assert len(b.venue.requests) - asked <= 3  # and the orders are read together


async def test_orders_of_another_kind_are_left_alone() -> None:
    """Somebody trades by hand on our account, in ways that we don't."""
    async with bench() as b:
        await b.connector.place_order(buy(), "tp-1")
        b.by_hand({"limit_limit_fok": {"base_size": "0.01", "limit_price": "50010"}})
        b.by_hand({"market_market_ioc": {"quote_size": "100"}})
        assert [o.client_id for o in await b.connector.open_orders()] == ["tp-1"]
        cursor = '{"t":0,"n":0}'
        trades = (await b.connector.trades_since(cursor)).trades  # they move our positions
        assert [t.client_id for t in trades] == ["by-hand-1", "by-hand-2"]


# -- doubt -------------------------------------------------------------------------------------

ACCEPTED = ["timeout_after_accept", "error_after_accept", "reset_after_accept"]
NOT_ACCEPTED = ["timeout_before_accept", "error_before_accept"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector that gives up an answer after 0.3 s."""
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.rest.TOTAL_TIMEOUT", 0.3)


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.usefixtures("impatient")
async def test_an_order_without_an_answer_is_found_by_searching(kind: str) -> None:
    async with bench() as b:
        b.venue.faults.add(Fault("place", kind, seconds=5))
        sent_at = time.time()
        with pytest.raises(OutcomeUnknown):
            await b.connector.place_order(buy(), "tp-1")
        b.connector._known._venue_ids.clear()  # as after a restart: only the client id is left
        found = await b.connector.fetch_order(OrderRef("tp-1", "BTC-USD", sent_at=sent_at))
        assert (found.status, found.order.body_hash()) == (OrderStatus.OPEN, buy().body_hash())
        assert b.posts() == 1
        closed = await b.connector.cancel_order(OrderRef("tp-1", "BTC-USD", sent_at=sent_at))
        assert closed.status is OrderStatus.CANCELLED


@pytest.mark.parametrize("kind", NOT_ACCEPTED)
@pytest.mark.usefixtures("impatient")
async def test_an_order_that_was_not_accepted_is_doubted_and_never_sent_again(kind: str) -> None:
    async with bench() as b:
        b.venue.faults.add(Fault("place", kind, seconds=5))
        with pytest.raises(OutcomeUnknown):
            await b.connector.place_order(buy(), "tp-1")
        with pytest.raises(OrderNotFound):
            await b.connector.fetch_order(OrderRef("tp-1", "BTC-USD", sent_at=time.time()))
        assert b.posts() == 1


async def test_throttled_it_is_silent_for_as_long_as_it_was_asked() -> None:
    async with bench() as b:
        b.venue.faults.add(Fault("place", "throttle", seconds=3))
        with pytest.raises(VenueThrottled) as caught:
            await b.connector.place_order(buy(), "tp-1")
        assert caught.value.retry_after == 3
        asked = len(b.venue.requests)
        with pytest.raises(VenueThrottled):
            await b.connector.place_order(buy(), "tp-2")
        with pytest.raises(VenueThrottled):
            await b.connector.open_orders()
        assert len(b.venue.requests) == asked
        assert not b.mine()


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("replay", [Replay.ECHO, Replay.ORDER])
async def test_an_old_order_that_is_returned_for_our_id_is_reported_as_what_it_is(
    replay: Replay, closed: bool
) -> None:
    async with bench() as b:
        b.venue.behaviour.replay = replay
        old = b.place("0.3", "tp-1", price="48000")
        if closed:
            b.venue.exchange.cancel("runner", old.id)
        answer = await b.connector.place_order(buy(), "tp-1")
        assert answer.order.body_hash() == buy("48000", "0.3").body_hash()
        assert answer.status is (OrderStatus.CANCELLED if closed else OrderStatus.OPEN)


async def test_a_duplicate_that_is_refused_proves_nothing() -> None:
    async with bench() as b:
        b.venue.behaviour.replay = Replay.REFUSE
        b.place("0.3", "tp-1", price="48000")
        with pytest.raises(OutcomeUnknown, match="DUPLICATE_CLIENT_ORDER_ID"):
            await b.connector.place_order(buy(), "tp-1")


async def test_an_accepted_order_that_the_history_does_not_show_yet_is_not_given_up() -> None:
    async with bench() as b:
        b.venue.behaviour.history_lag = 30.0
        answer = await b.connector.place_order(buy(), "tp-1")  # the stream told of it
        ref = dataclasses.replace(answer.ref, sent_at=time.time())
        with pytest.raises(OutcomeUnknown):
            await b.connector.fetch_order(ref)
        old = dataclasses.replace(ref, sent_at=time.time() - b.connector.outcome_horizon - 1)
        with pytest.raises(OrderNotFound):
            await b.connector.fetch_order(old)


async def test_an_order_reported_by_no_stream_is_read_back_when_the_history_shows_it() -> None:
    async with bench() as b:
        b.connector.streaming = False
        b.venue.behaviour.history_lag = 0.1
        answer = await b.connector.place_order(buy(), "tp-1")
        assert answer.order.body_hash() == buy().body_hash()


async def test_a_cancel_is_waited_for() -> None:
    async with bench() as b:
        b.venue.behaviour.cancel_lag = 0.2
        placed = await b.connector.place_order(buy(), "tp-1")
        closed = await b.connector.cancel_order(placed.ref)
        assert closed.status is OrderStatus.CANCELLED
        assert not b.mine()


async def test_a_cancel_that_lost_against_a_fill_tells_the_fill() -> None:
    async with bench() as b:
        placed = await b.connector.place_order(sell(), "tp-1")
        b.meet(VenueSide.BUY, "0.1", "50005")
        closed = await b.connector.cancel_order(placed.ref)
        assert (closed.status, closed.filled) == (OrderStatus.FILLED, D("0.1"))


async def test_without_a_connection_nothing_was_sent_for_certain() -> None:
    async with bench() as b:
        await b.connector.disconnect()
        with pytest.raises(OrderRejected, match="not connected"):
            await b.connector.place_order(buy(), "tp-1")


async def test_a_venue_that_is_gone_is_reported_as_disconnected_and_an_order_as_not_sent() -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        connector = build(venue, store(pair))
        await connector.connect()
    try:
        with pytest.raises(OrderError):
            await connector.open_orders()
        with pytest.raises(OrderRejected, match="no connection"):
            await connector.place_order(buy(), "tp-1")
        await connector.disconnect()
        with pytest.raises(VenueDisconnected):
            await connector.connect()
    finally:
        await connector.disconnect()


@pytest.mark.parametrize("skew", [-300.0, 300.0])
async def test_it_signs_by_the_venues_clock(skew: float) -> None:
    pair = make_es256()
    async with quiet_venue(pair) as venue:
        venue.clock_skew = skew
        connector = build(venue, store(pair))
        await connector.connect()
        try:
            assert await connector.open_orders() == []
        finally:
            await connector.disconnect()


async def test_without_a_permit_nothing_leaves() -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        connector = build(venue, store(pair), permit=lambda: "the lease is lost")
        await connector.connect()
        try:
            with pytest.raises(OrderRejected, match="the lease is lost"):
                await connector.place_order(buy(), "tp-1")
            with pytest.raises(OrderRejected, match="the lease is lost"):
                await connector.cancel_order(OrderRef("tp-1", "BTC-USD", "some-id"))
            assert not [r for r in venue.requests if r.method == "POST"]
        finally:
            await connector.disconnect()


# -- credentials -------------------------------------------------------------------------------


async def test_replaced_credentials_are_used_as_soon_as_the_old_ones_are_refused() -> None:
    old, new = (
        make_ed25519("organizations/1/apiKeys/old"),
        make_es256("organizations/1/apiKeys/new"),
    )
    environment = {"COINBASE_API_KEY": old.name, "COINBASE_API_SECRET": old.secret}
    async with quiet_venue(old) as venue:
        credentials = CredentialStore.open("coinbase", None, environment)
        connector = build(venue, credentials)
        await connector.connect()
        try:
            await connector.place_order(buy("40000"), "tp-1")
            venue.add_key(new.name, new.public_key_pem)
            venue.remove_key(old.name)
            environment.update(COINBASE_API_KEY=new.name, COINBASE_API_SECRET=new.secret)
            placed = await connector.place_order(buy("40001"), "tp-2")
            assert placed.client_id == "tp-2"
            assert {o.client_id for o in await connector.open_orders()} == {"tp-1", "tp-2"}
            # The stream goes on with the new key, on the same connection.
            assert connector.streaming
        finally:
            await connector.disconnect()


async def test_refused_without_newer_credentials_says_so_and_shows_none() -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        connector = build(venue, store(pair))
        await connector.connect()
        try:
            venue.remove_key(pair.name)
            with pytest.raises(CredentialsRefused) as caught:
                await connector.place_order(buy(), "tp-1")
            assert pair.secret not in str(caught.value)
            with pytest.raises(CredentialsRefused):
                await connector.get_positions()
        finally:
            await connector.disconnect()


async def test_a_key_that_may_not_trade_has_its_orders_refused() -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        venue.add_key(pair.name, pair.public_key_pem, can_trade=False)
        connector = build(venue, store(pair))
        await connector.connect()
        try:
            with pytest.raises(OrderRejected, match="Missing required scopes"):
                await connector.place_order(buy("40000"), "tp-1")
        finally:
            await connector.disconnect()
