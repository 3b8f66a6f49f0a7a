"""The whole loop at the venue kit: whatever it does, no order is lost and none is doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.binance_fixtures import (
    ACCOUNT,
    KEY,
    SECRET,
    SYMBOL,
    connector,
    exchange,
    live,
    market,
    resting,
)
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.faults import Fault
from tradepulse_runner.config.runner import StrategyConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, OrderStatus, Side
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.oms.state import OrderRecord
from tradepulse_runner.strategy.catalog import build_strategy
from tradepulse_runner.venues.binance import rest
from tradepulse_runner.venues.binance.connector import BinanceConnector


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with exchange() as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TOTAL_TIMEOUT", 0.5)
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 2.0)


def record(loop: LiveExecutionLoop, client_id: str) -> OrderRecord:
    return loop.sessions["binance"].oms.state.orders[client_id]


def rest_order(loop: LiveExecutionLoop, side: Side = Side.BUY) -> Order:
    made = loop.sessions["binance"].connector
    assert isinstance(made, BinanceConnector)
    return resting(made, side)


def placed(venue: BinanceVenue, client_id: str) -> int:
    """How many requests to place this id reached the venue."""
    return sum(r.method == "POST" and r.client_id == client_id for r in venue.requests)


async def reaches(loop: LiveExecutionLoop, client_id: str, status: OrderStatus) -> None:
    await until(lambda: record(loop, client_id).status is status, seconds=30)


def _grown(session: VenueSession, since: int) -> bool:
    """Whether it sent a few orders more."""
    return len(session.oms.state.orders) > since + 2


def _struck(venue: BinanceVenue, rare: tuple[str, str]) -> bool:
    """Whether all faults did; but not every run has an occasion for ``rare``."""
    return {(fault.on, fault.kind) for fault in venue.faults.pending} <= {rare}


async def settled(loop: LiveExecutionLoop) -> None:
    """Nothing unanswered, and the loop trades again."""
    open_ends = (OrderStatus.QUEUED, OrderStatus.PENDING, OrderStatus.UNKNOWN)
    session = loop.sessions["binance"]
    await until(
        lambda: (
            session.reconciled
            and not any(r.status in open_ends for r in session.oms.state.orders.values())
        ),
        seconds=40,
    )


def agree(loop: LiveExecutionLoop, venue: BinanceVenue) -> None:
    """Our book is the venue's: orders, fills and the position, to the last digit."""
    state = loop.sessions["binance"].oms.state
    theirs = {order.client_id: order for order in venue.exchange.orders(ACCOUNT)}
    assert len(theirs) == len(venue.exchange.orders(ACCOUNT)), "an id was used twice"
    for client_id, order in state.orders.items():
        if order.status in (OrderStatus.EXPIRED, OrderStatus.REJECTED):
            assert client_id not in theirs, f"{client_id} is {order.status} here, live there"
            continue
        assert order.filled == theirs[client_id].filled
        assert order.status.terminal is not theirs[client_id].status.open
    held = venue.exchange.balances(ACCOUNT)["BTC"].total
    assert state.positions[SYMBOL] == held


LOST = [
    ("timeout_after_accept", OrderStatus.OPEN),
    ("timeout_before_accept", OrderStatus.EXPIRED),
    ("error_after_accept", OrderStatus.OPEN),
    ("error_before_accept", OrderStatus.EXPIRED),
    ("reset_after_accept", OrderStatus.OPEN),
]


@pytest.mark.parametrize(("kind", "status"), LOST)
async def test_a_lost_answer_is_resolved_by_proof(
    kind: str, status: OrderStatus, venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path) as loop:
        venue.faults.add(Fault("place", kind, seconds=2))
        mine = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, mine, status)
        await settled(loop)
        assert placed(venue, mine) == 1
        agree(loop, venue)


async def test_a_fill_whose_answer_and_event_were_lost_is_found(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path) as loop:
        venue.faults.add(Fault("stream", "drop_fills", times=-1))
        venue.faults.add(Fault("place", "timeout_after_accept", seconds=2))
        mine = loop.submit_order("binance", market())
        await reaches(loop, mine, OrderStatus.FILLED)
        await settled(loop)
        assert placed(venue, mine) == 1
        agree(loop, venue)


async def test_an_order_that_arrives_late_is_not_given_up_before_its_window_ends(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path) as loop:
        venue.faults.add(Fault("place", "delay", seconds=1.2))  # of a window of 1.5
        mine = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, mine, OrderStatus.UNKNOWN)
        await reaches(loop, mine, OrderStatus.OPEN)
        agree(loop, venue)


async def test_a_throttle_pauses_and_everything_goes_on(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path) as loop:
        first = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, first, OrderStatus.OPEN)
        venue.faults.add(Fault("open_orders", "throttle", seconds=1))
        await until(lambda: not loop.sessions["binance"].reconciled)
        [throttled] = venue.faults.fired
        sent = len(venue.requests)
        await settled(loop)
        assert throttled.kind == "throttle"
        assert venue.requests[sent].time - venue.requests[sent - 1].time > 0.9  # silent till then
        second = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, second, OrderStatus.OPEN)
        agree(loop, venue)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
async def test_a_cut_stream_is_reopened_and_nothing_is_missed(
    announced: bool, venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path, poll=30.0) as loop:
        mine = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, mine, OrderStatus.OPEN)
        venue.cut_streams(announced=announced)
        # What happens while nobody listens.
        price = record(loop, mine).order.price
        assert price is not None
        venue.crowd.move(SYMBOL, price * Decimal("0.99"))
        await reaches(loop, mine, OrderStatus.FILLED)
        await settled(loop)
        await until(lambda: venue.connections == 2)
        agree(loop, venue)


async def test_a_fill_is_known_by_the_stream_long_before_the_next_poll(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path, poll=30.0) as loop:
        mine = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, mine, OrderStatus.OPEN)
        price = record(loop, mine).order.price
        assert price is not None
        asked = [r.path for r in venue.requests].count("/api/v3/myTrades")
        venue.crowd.move(SYMBOL, price * Decimal("0.99"))
        await reaches(loop, mine, OrderStatus.FILLED)
        assert [r.path for r in venue.requests].count("/api/v3/myTrades") == asked


async def test_a_mute_stream_is_made_up_for_by_polling(venue: BinanceVenue, tmp_path: Path) -> None:
    async with live(venue, tmp_path) as loop:
        venue.faults.add(Fault("stream", "silence_stream", seconds=60))
        mine = loop.submit_order("binance", market())
        await reaches(loop, mine, OrderStatus.FILLED)
        await settled(loop)
        agree(loop, venue)


async def refused_for_its_time(loop: LiveExecutionLoop, venue: BinanceVenue, skew: float) -> str:
    """The id of the first order that is; a look at the venue that comes first mends the clock."""
    for turn in range(1, 6):
        venue.clock_skew = turn * skew
        mine = loop.submit_order("binance", rest_order(loop))
        await until(partial(_answered, loop, mine), seconds=30)
        if record(loop, mine).status is OrderStatus.REJECTED:
            return mine
    raise AssertionError("every order came after a look")


def _answered(loop: LiveExecutionLoop, client_id: str) -> bool:
    return record(loop, client_id).status in (OrderStatus.REJECTED, OrderStatus.OPEN)


@pytest.mark.parametrize("skew", [20.0, -20.0])
async def test_a_skew_beyond_the_window_costs_orders_not_knowledge(
    skew: float, venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path, poll=30.0) as loop:
        refused = await refused_for_its_time(loop, venue, skew)
        assert "-1021" in record(loop, refused).reason
        mine = loop.submit_order("binance", rest_order(loop))
        await reaches(loop, mine, OrderStatus.OPEN)
        agree(loop, venue)


async def test_keys_are_replaced_while_trading_without_losing_an_order(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"

    def write(number: int, key: str, secret: str) -> None:
        target = folder / f"..{number}"
        target.mkdir(parents=True)
        (target / "BINANCE_API_KEY").write_text(key)
        (target / "BINANCE_API_SECRET").write_text(secret)
        link = folder / "..next"
        link.symlink_to(target.name)
        link.rename(folder / "..data")

    write(0, KEY, SECRET)
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        (folder / name).symlink_to(f"..data/{name}")
    store = CredentialStore.open("binance", folder, {})
    async with live(venue, tmp_path / "state", made=connector(venue, store=store)) as loop:
        key = KEY
        for number in range(1, 6):
            fresh = f"{number}" * 64
            venue.add_key(fresh, hmac_secret=fresh[::-1] + "s", account=ACCOUNT)
            write(number, fresh, fresh[::-1] + "s")
            venue.remove_key(key)
            key = fresh
            mine = loop.submit_order("binance", rest_order(loop))
            await reaches(loop, mine, OrderStatus.OPEN)
        await settled(loop)
        assert len(venue.exchange.open_orders(ACCOUNT)) == 5
        agree(loop, venue)


async def test_a_restart_in_the_middle_takes_up_what_the_venue_has(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    async with live(venue, tmp_path) as loop:
        mine = loop.submit_order("binance", market())
        await reaches(loop, mine, OrderStatus.FILLED)
        fills = set(loop.sessions["binance"].oms.state.trades)
    async with live(venue, tmp_path) as again:
        assert record(again, mine).status is OrderStatus.FILLED
        assert set(again.sessions["binance"].oms.state.trades) == fills
        agree(again, venue)


async def test_a_strategy_trades_through_every_fault_and_the_books_agree(tmp_path: Path) -> None:
    """Half a minute of trouble in a moving market; afterwards, both books are the same."""
    names = {"orders_per_second": 20, "order_notional": 200, "position_notional": 20000}
    strategy = build_strategy(StrategyConfig(name="mean-reversion", parameters=names), source="t")
    unlimited = {"weight_limit": 10**6, "order_limit": 10**6}
    troubles = [
        ("place", "timeout_after_accept"),
        ("place", "error_before_accept"),
        ("stream", "drop_fills"),
        ("place", "reset_after_accept"),
        ("cancel", "timeout_after_accept"),
        ("stream", "reorder_stream"),
        ("trades", "error_before_accept"),
        ("place", "timeout_before_accept"),
        ("stream", "cut_stream"),
        ("query", "error_before_accept"),
        ("open_orders", "reset_after_accept"),
        ("stream", "duplicate_ack"),
        ("account", "timeout_before_accept"),
    ]
    async with exchange("0.2", interval=0.05, seed=7, **unlimited) as venue:
        async with live(
            venue, tmp_path, strategy=strategy, max_orders_per_interval=100, poll=0.3
        ) as loop:
            session = loop.sessions["binance"]
            for on, kind in troubles:
                venue.faults.add(Fault(on, kind, seconds=1))
                before = len(session.oms.state.orders)
                await until(partial(_grown, session, before), seconds=40)
            await until(partial(_struck, venue, troubles[9]), seconds=40)
            await settled(loop)
        await asyncio.sleep(0)
        state = session.oms.state
        assert not state.live
        requests = Counter(r.client_id for r in venue.requests if r.method == "POST")
        assert max(requests.values()) == 1
        assert state.positions[SYMBOL] == venue.exchange.balances(ACCOUNT)["BTC"].total
        fills = venue.exchange.fills(ACCOUNT)
        assert {f"{SYMBOL}:{fill.id}" for fill in fills} == set(state.trades)
        assert len(fills) > 10
