"""The connector against the venue kit: every method, and every way the venue can fail it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.binance_fixtures import (
    ACCOUNT,
    KEY,
    SYMBOL,
    connected,
    connector,
    environment_store,
    exchange,
    market,
    ref,
    resting,
    tasks,
)
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Kind, Market, NewOrder
from tests.support.venues.exchange import Side as TheirSide
from tests.support.venues.faults import Fault
from tradepulse_runner.domain import (
    ZERO,
    Instrument,
    OrderStatus,
    Side,
    StreamLost,
    Trade,
    VenueOrder,
)
from tradepulse_runner.errors import (
    ConfigError,
    CredentialsRefused,
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueDisconnected,
    VenueThrottled,
)
from tradepulse_runner.venues.binance import rest, trades, user_stream

BNB = Market("BNBUSDT", "BNB", "USDT", start_price=Decimal(600))


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with exchange() as made:
        yield made


# -- life ----------------------------------------------------------------------------------


async def test_connecting_learns_everything_that_must_be_known(venue: BinanceVenue) -> None:
    before = tasks()
    async with connected(venue) as (made, _):
        steps = Instrument(
            Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), False
        )
        assert made.instrument(SYMBOL) == steps
        quote = made.quote(SYMBOL)
        assert quote is not None
        assert quote.bid < quote.ask
        assert made.streaming
        assert 1.8 < made.outcome_horizon < 1.8 + rest.TOTAL_TIMEOUT
        sent = len(venue.requests)
        await made.connect()  # open already: nothing to do
        assert len(venue.requests) == sent
        await until(lambda: venue.connections == 2)
    assert not made.streaming
    await until(lambda: venue.connections == 0)
    await until(lambda: not tasks() - before)
    await made.disconnect()  # twice is once
    with pytest.raises(OrderRejected, match="not connected"):
        await made.place_order(market(), "late")
    with pytest.raises(VenueDisconnected):
        await made.open_orders()


async def test_before_connecting_steps_are_not_known(venue: BinanceVenue) -> None:
    made = connector(venue)
    with pytest.raises(VenueDisconnected, match="not known before"):
        made.instrument(SYMBOL)


async def test_it_reconnects(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, heard):
        venue.cut_streams(announced=False)
        await until(lambda: any(isinstance(event, StreamLost) for event in heard))
        assert not made.streaming
        await made.disconnect()
        await made.connect()
        assert made.streaming
        await made.place_order(resting(made), "after")
        await until(lambda: any(isinstance(event, VenueOrder) for event in heard))


async def test_symbols_that_share_an_asset_are_refused_by_what_the_venue_says() -> None:
    """Assets that no list of ours knows: the exchange does."""
    markets = [Market("XAAAZZZ", "XAAA", "ZZZ"), Market("XAAAYYY", "XAAA", "YYY")]
    async with exchange(markets=markets) as venue:
        made = connector(venue, "XAAAZZZ", "XAAAYYY")
        with pytest.raises(ConfigError, match=r"venues.binance.symbols: .* share the asset XAAA"):
            await made.connect()
        await until(lambda: venue.connections == 0)


async def test_a_base_that_is_anothers_quote_is_refused() -> None:
    markets = [Market(), Market("ETHBTC", "ETH", "BTC", start_price=Decimal("0.05"))]
    async with exchange(markets=markets) as venue:
        with pytest.raises(ConfigError, match="share the asset BTC"):
            await connector(venue, SYMBOL, "ETHBTC").connect()


# -- orders --------------------------------------------------------------------------------


async def test_an_order_from_placing_to_cancelling(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, heard):
        order = resting(made)
        placed = await made.place_order(order, "one")
        assert (placed.client_id, placed.status, placed.filled) == ("one", OrderStatus.OPEN, ZERO)
        assert placed.order.body_hash() == order.body_hash()
        assert await made.open_orders() == [placed]
        assert await made.fetch_order(ref("one")) == placed
        cancelled = await made.cancel_order(ref("one", placed.venue_id))
        assert (cancelled.client_id, cancelled.status) == ("one", OrderStatus.CANCELLED)
        assert await made.open_orders() == []
        assert await made.fetch_order(ref("one")) == cancelled
        assert await made.cancel_order(ref("one")) == cancelled  # closed: as it closed
        await until(lambda: len(heard) == 2)
        assert heard == [placed, cancelled]
        assert venue.exchange.by_client_id(ACCOUNT, "one")[0].status == "CANCELED"


async def test_cancelling_by_our_own_id_alone(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        await made.place_order(resting(made), "one")
        assert (await made.cancel_order(ref("one"))).status is OrderStatus.CANCELLED


async def test_a_market_order_its_trade_its_fee_and_the_position(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, heard):
        page = await made.trades_since(None)
        assert page.trades == ()
        before = (await made.get_positions())[SYMBOL]
        placed = await made.place_order(market(quantity="0.02"), "one")
        assert (placed.status, placed.filled) == (OrderStatus.FILLED, Decimal("0.02"))
        assert await made.cancel_order(ref("one", placed.venue_id)) == placed
        page = await made.trades_since(page.cursor)
        assert sum(trade.quantity for trade in page.trades) == Decimal("0.02")
        assert {trade.client_id for trade in page.trades} == {"one"}
        fee = sum(trade.fee for trade in page.trades)
        assert fee == Decimal("0.02") * Decimal("0.001")
        assert {trade.fee_symbol for trade in page.trades} == {SYMBOL}  # from what was bought
        assert (await made.get_positions())[SYMBOL] == before + Decimal("0.02") - fee
        await until(lambda: any(isinstance(event, Trade) for event in heard))
        assert tuple(event for event in heard if isinstance(event, Trade)) == page.trades
        assert (await made.trades_since(page.cursor)).trades == ()
        sold = await made.place_order(market(Side.SELL), "two")
        page = await made.trades_since(page.cursor)
        assert {trade.fee_symbol for trade in page.trades} == {""}  # from the cash
        assert sold.filled == sum(trade.quantity for trade in page.trades)


async def test_what_the_venue_does_not_know(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        with pytest.raises(OrderNotFound):
            await made.fetch_order(ref("none"))
        with pytest.raises(OrderNotFound):
            await made.cancel_order(ref("none"))


async def test_an_id_that_is_open_already_is_not_refused_but_unknown(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        await made.place_order(resting(made), "one")
        with pytest.raises(OutcomeUnknown, match="Duplicate"):
            await made.place_order(resting(made), "one")


@pytest.mark.parametrize(
    ("quantity", "away", "told"),
    [
        ("0.000001", "0.02", "LOT_SIZE"),
        ("0.00001", "0.02", "NOTIONAL"),
        ("400", "0.02", "insufficient balance"),
        ("0.01", "0.9", "PERCENT_PRICE"),
    ],
)
async def test_refusals_are_certain_and_say_why(
    quantity: str, away: str, told: str, venue: BinanceVenue
) -> None:
    async with connected(venue) as (made, _):
        with pytest.raises(OrderRejected, match=told):
            await made.place_order(resting(made, away=away, quantity=quantity), "one")
        assert venue.exchange.by_client_id(ACCOUNT, "one") == []


async def test_a_symbol_that_is_not_ours_or_not_trading(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        sent = len(venue.requests)
        foreign = market()
        object.__setattr__(foreign, "symbol", "ETHUSDT")
        with pytest.raises(OrderRejected, match="ETHUSDT"):
            await made.place_order(foreign, "one")
        assert len(venue.requests) == sent


# -- what places fail with -----------------------------------------------------------------

FATES = [
    ("timeout_after_accept", OutcomeUnknown, True),
    ("timeout_before_accept", OutcomeUnknown, False),
    ("error_after_accept", OutcomeUnknown, True),
    ("error_before_accept", OutcomeUnknown, False),
    ("reset_after_accept", OutcomeUnknown, True),
    ("throttle", VenueThrottled, False),
    ("ban", VenueThrottled, False),
]


@pytest.mark.parametrize(("kind", "error", "live"), FATES)
async def test_each_fault_of_placing_is_reported_for_what_it_is(
    kind: str,
    error: type[OrderError],
    live: bool,
    venue: BinanceVenue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest, "TOTAL_TIMEOUT", 0.5)
    async with connected(venue) as (made, _):
        venue.faults.add(Fault("place", kind, seconds=2.0))
        with pytest.raises(error):
            await made.place_order(resting(made), "one")
        posts = [r for r in venue.requests if r.method == "POST" and r.path == "/api/v3/order"]
        assert len(posts) == 1
        assert bool(venue.exchange.by_client_id(ACCOUNT, "one")) is live


async def test_an_order_held_up_beyond_its_window_never_comes_to_life(
    venue: BinanceVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim that the fence rests on, in the kit as in the documentation."""
    monkeypatch.setattr(rest, "TOTAL_TIMEOUT", 0.2)
    async with connected(venue, recv_window=300) as (made, _):
        venue.faults.add(Fault("place", "delay", seconds=0.6))
        with pytest.raises(OutcomeUnknown):
            await made.place_order(resting(made), "late")
        await asyncio.sleep(1.0)
        with pytest.raises(OrderNotFound):
            await made.fetch_order(ref("late"))


async def test_a_delay_within_its_window_does(
    venue: BinanceVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So "not found" proves nothing before the fence."""
    monkeypatch.setattr(rest, "TOTAL_TIMEOUT", 0.2)
    async with connected(venue, recv_window=10_000) as (made, _):
        venue.faults.add(Fault("place", "delay", seconds=0.8))
        with pytest.raises(OutcomeUnknown):
            await made.place_order(resting(made), "late")
        with pytest.raises(OrderNotFound):
            await made.fetch_order(ref("late"))
        await until(lambda: venue.exchange.by_client_id(ACCOUNT, "late"))
        assert (await made.fetch_order(ref("late"))).status is OrderStatus.OPEN


async def test_a_throttle_is_obeyed_by_everything(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        venue.faults.add(Fault("account", "throttle", seconds=5))
        with pytest.raises(VenueThrottled) as caught:
            await made.get_positions()
        assert caught.value.retry_after == 5
        sent = len(venue.requests)
        for attempt in (made.place_order(market(), "x"), made.open_orders()):
            with pytest.raises(VenueThrottled):
                await attempt
        assert len(venue.requests) == sent


async def test_too_many_orders_are_a_throttle() -> None:
    async with exchange(order_limit=1) as venue, connected(venue) as (made, _):
        ends = await asyncio.gather(
            *(made.place_order(resting(made), f"n{number}") for number in range(3)),
            return_exceptions=True,
        )  # three, since the ten seconds may end in between
        told = [end for end in ends if isinstance(end, VenueThrottled)]
        assert told
        assert all("-1015" in str(end) or "silent" in str(end) for end in told)
        assert all(0 < end.retry_after <= 10 for end in told)


# -- clocks --------------------------------------------------------------------------------


async def test_a_clock_that_is_far_off_is_no_hindrance(venue: BinanceVenue) -> None:
    venue.clock_skew = -7200.0
    async with connected(venue) as (made, _):
        await made.place_order(resting(made), "one")


@pytest.mark.parametrize("skew", [30.0, -30.0])
async def test_a_clock_that_steps_costs_one_order(skew: float, venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        venue.clock_skew = skew
        with pytest.raises(OrderRejected, match="-1021"):
            await made.place_order(resting(made), "one")
        await made.place_order(resting(made), "two")
        venue.clock_skew = 0.0
        assert [order.client_id for order in await made.open_orders()] == ["two"]
        venue.clock_skew = skew
        assert (await made.cancel_order(ref("two"))).status is OrderStatus.CANCELLED


# -- credentials ---------------------------------------------------------------------------


async def test_an_ed25519_key_signs_requests_and_streams(venue: BinanceVenue) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    venue.add_key("e" * 64, public_key_pem=public.decode(), account=ACCOUNT)
    store = environment_store("e" * 64, private)
    async with connected(venue, store=store) as (made, heard):
        placed = await made.place_order(resting(made), "one")
        await until(lambda: heard == [placed])


async def test_a_wrong_secret_is_refused_at_once(venue: BinanceVenue) -> None:
    made = connector(venue, store=environment_store(KEY, "w" * 64))
    with pytest.raises(CredentialsRefused, match="-1022"):
        await made.connect()
    await until(lambda: venue.connections == 0)


async def test_a_revoked_key_is_refused(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        venue.remove_key(KEY)
        with pytest.raises(CredentialsRefused):
            await made.place_order(resting(made), "one")
        assert venue.exchange.by_client_id(ACCOUNT, "one") == []


# -- trades --------------------------------------------------------------------------------


def _trade(venue: BinanceVenue, client_id: str, symbol: str = SYMBOL, quantity: str = "1") -> None:
    """A market order of the account that no connector made."""
    amount = Decimal(quantity)
    request = NewOrder(symbol, TheirSide.BUY, client_id, amount, kind=Kind.MARKET)
    venue.exchange.place(ACCOUNT, request)


async def test_trades_are_read_to_their_end_and_attributed(
    venue: BinanceVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "PAGE", 3)
    async with connected(venue) as (made, _):
        start = (await made.trades_since(None)).cursor
        for number in range(10):
            _trade(venue, f"n{number}", quantity="0.001")
        page = await made.trades_since(start)
        assert [trade.client_id for trade in page.trades] == [f"n{n}" for n in range(10)]
        assert (await made.trades_since(page.cursor)).trades == ()
    async with connected(venue) as (fresh, _):  # nothing remembered: each order is asked for once
        sent = len(venue.requests)
        assert (await fresh.trades_since(start)).trades == page.trades
        queries = [r for r in venue.requests[sent:] if r.path == "/api/v3/order"]
        assert len(queries) == 10
        await fresh.trades_since(start)
        again = [r for r in venue.requests[sent:] if r.path == "/api/v3/order"]
        assert len(again) == 10


async def test_a_cursor_has_a_place_for_each_symbol() -> None:
    async with exchange(markets=[Market(), BNB]) as venue:
        async with connected(venue) as (made, _):
            only_btc = (await made.trades_since(None)).cursor
        assert only_btc == '{"BTCUSDT":-1}'
        _trade(venue, "before", "BNBUSDT", "0.1")
        _trade(venue, "btc", SYMBOL, "0.001")
        async with connected(venue, SYMBOL, "BNBUSDT") as (made, _):
            page = await made.trades_since(only_btc)  # BNB was not traded by us before
            assert {trade.client_id for trade in page.trades} == {"btc"}
            _trade(venue, "bnb", "BNBUSDT", "0.1")
            later = await made.trades_since(page.cursor)
            assert {trade.client_id for trade in later.trades} == {"bnb"}
        _trade(venue, "left", "BNBUSDT", "0.1")
        async with connected(venue) as (made, _):  # no longer traded, but perhaps still open
            left = await made.trades_since(later.cursor)
            assert {trade.client_id for trade in left.trades} == {"left"}
            assert "BNBUSDT" in left.cursor


async def test_a_cursor_of_another_venue_is_reported(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, _):
        with pytest.raises(Exception, match="not one of Binance; remedy"):
            await made.trades_since("17")


async def test_positions_of_several_symbols() -> None:
    async with (
        exchange(markets=[Market(), BNB]) as venue,
        connected(venue, SYMBOL, "BNBUSDT") as (made, _),
    ):
        held = await made.get_positions()
        assert held == {SYMBOL: Decimal(1000), "BNBUSDT": Decimal(1000)}


# -- streams -------------------------------------------------------------------------------


async def test_fills_that_the_stream_drops_are_found_by_asking(venue: BinanceVenue) -> None:
    async with connected(venue) as (made, heard):
        start = (await made.trades_since(None)).cursor
        venue.faults.add(Fault("stream", "drop_fills", times=-1))
        await made.place_order(market(), "one")
        page = await made.trades_since(start)
        assert {trade.client_id for trade in page.trades} == {"one"}
        assert not [event for event in heard if isinstance(event, Trade)]


async def test_a_stream_that_dropped_a_fill_is_replaced_without_a_gap(
    venue: BinanceVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_stream, "LAG", 0.1)
    async with connected(venue) as (made, heard):
        await until(lambda: venue.connections == 2)
        cursor = (await made.trades_since(None)).cursor
        await made.place_order(market(), "told")
        await until(lambda: any(isinstance(event, Trade) for event in heard))
        await asyncio.sleep(0.2)
        await made.trades_since(cursor)
        asked = _subscriptions(venue)
        venue.faults.add(Fault("stream", "drop_fills"))
        await made.place_order(market(), "dropped")
        await asyncio.sleep(0.2)
        await made.trades_since(cursor)
        await made.trades_since(cursor)  # known to be missing: one replacement
        await until(lambda: _subscriptions(venue) == asked + 1)
        await until(lambda: venue.connections == 2)
        assert made.streaming
        assert not [event for event in heard if isinstance(event, StreamLost)]
        await made.place_order(market(), "told-again")
        await until(lambda: getattr(heard[-1], "client_id", "") == "told-again")


def _subscriptions(venue: BinanceVenue) -> int:
    return sum("subscribe" in request.path for request in venue.requests)


@pytest.mark.parametrize("kind", ["duplicate_ack", "reorder_stream"])
async def test_streams_that_stutter_tell_the_same_in_the_end(
    kind: str, venue: BinanceVenue
) -> None:
    async with connected(venue) as (made, heard):
        venue.faults.add(Fault("stream", kind, times=1))
        start = (await made.trades_since(None)).cursor
        await made.place_order(market(), "one")
        await made.place_order(market(), "two")
        page = await made.trades_since(start)
        told = {trade.trade_id for trade in page.trades}
        await until(lambda: {e.trade_id for e in heard if isinstance(e, Trade)} == told)


async def test_quotes_follow_the_market_and_are_asked_for_when_the_stream_is_silent() -> None:
    async with exchange(interval=0.02) as venue, connected(venue) as (made, _):
        first = made.quote(SYMBOL)
        await until(lambda: made.quote(SYMBOL) != first)
        venue.faults.add(Fault("stream", "silence_stream", seconds=30))
        asked = len([r for r in venue.requests if r.path == "/api/v3/ticker/bookTicker"])
        await until(
            lambda: len([r for r in venue.requests if r.path.endswith("bookTicker")]) > asked
        )
        quote = made.quote(SYMBOL)
        await until(lambda: made.quote(SYMBOL) != quote)
