"""A venue's streams are early hints: heard at once, believed once, and checked by polling."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runner.runner_fixtures import (
    SYMBOL,
    Venue,
    make_loop,
    market,
    paper,
    resting,
    trading,
    until,
)
from tradepulse_runner.domain import (
    Order,
    OrderStatus,
    Side,
    StreamLost,
    Trade,
    VenueEvent,
    VenueOrder,
)
from tradepulse_runner.errors import DurabilityLost, VenueDisconnected
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.reconciliation import Drift
from tradepulse_runner.live.streams import UserStreamHandler
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.venues.base import Listener

VIRTUAL_TIME = True


class Streaming(Venue):
    """A paper venue with a stream that the test speaks into."""

    def __init__(self, folder: Path) -> None:
        super().__init__(paper(folder))
        self.streaming = True
        self.say: Listener = lambda _event: None
        self.connects = 0

    def listen(self, listener: Listener) -> None:
        self.say = listener

    async def connect(self) -> None:
        self.connects += 1
        await super().connect()

    async def say_fills(self, client_id: str) -> list[Trade]:
        """What a working stream would have said of an order's fills."""
        page = await self.inner.trades_since("0")
        fills = [t for t in page.trades if t.client_id == client_id]
        for fill in fills:
            self.say(fill)
        return fills


def quiet(folder: Path, venue: Venue) -> LiveExecutionLoop:
    """A loop that polls so rarely that only the stream can be heard in the test's time."""
    loop = make_loop(folder, venue)
    loop.config = dataclasses.replace(loop.config, reconcile_interval=300.0)
    return loop


def filled(loop: LiveExecutionLoop, client_id: str) -> Decimal:
    return loop.sessions["paper"].oms.state.orders[client_id].filled


async def test_a_fill_is_booked_when_it_is_heard_and_once(tmp_path: Path) -> None:
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    await loop.start()
    try:
        await trading(loop)
        made = loop.submit_order("paper", market())
        await until(lambda: loop.counts["ok"] == 1)
        assert filled(loop, made) == 0  # nobody said so yet, and nobody polled
        assert await venue.say_fills(made)
        assert filled(loop, made) == Decimal("0.01")
        await venue.say_fills(made)
        loop.sessions["paper"].wake.set()
        await until(lambda: loop.sessions["paper"].oms.state.cursor != "0")
        assert filled(loop, made) == Decimal("0.01")
        assert loop.sessions["paper"].oms.state.positions[SYMBOL] == Decimal("0.01")
    finally:
        await loop.shutdown()


async def test_a_fill_that_the_stream_dropped_is_found_by_the_poll_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepulse_runner.live.reconciliation.STREAM_LAG", 0.0)
    venue = Streaming(tmp_path)
    loop = make_loop(tmp_path, venue)
    loop.config = dataclasses.replace(loop.config, reconcile_interval=0.2)
    told: list[tuple[str, Drift]] = []
    loop.on_drift.connect(lambda name, kind, _detail: told.append((name, kind)))
    await loop.start()
    try:
        await trading(loop)
        made = loop.submit_order("paper", market())
        await until(lambda: filled(loop, made) == Decimal("0.01"))
        assert set(told) == {("paper", Drift.FILL_NOT_STREAMED)}
        assert b'drift_total{kind="fill_not_streamed",venue="paper"}' in loop.metrics.render()
    finally:
        await loop.shutdown()


async def test_a_lost_stream_closes_the_gate_at_once_and_is_reconnected(tmp_path: Path) -> None:
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    reconnects: list[tuple[int, Exception | None]] = []
    loop.on_reconnect.connect(lambda _v, attempt, _d, why: reconnects.append((attempt, why)))
    await loop.start()
    try:
        await trading(loop)
        venue.say(StreamLost("24 hours are over"))
        assert loop.state.refusal == "reconciling with the venue"
        await until(lambda: venue.connects == 2)
        await trading(loop)
        assert [attempt for attempt, _ in reconnects] == [1, 0]
        assert isinstance(reconnects[0][1], VenueDisconnected)
        assert "24 hours are over" in str(reconnects[0][1])
    finally:
        await loop.shutdown()


async def test_a_stream_lost_while_reconciling_is_not_forgotten(tmp_path: Path) -> None:
    """What happened before the loss may be unheard, however well the polls went."""
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    lost = False

    async def lose_once() -> None:
        nonlocal lost
        if not lost and venue.connects:
            lost = True
            venue.say(StreamLost("gap in the sequence"))

    venue.before_any = lose_once
    await loop.start()
    try:
        await trading(loop)
        assert venue.connects == 2
    finally:
        await loop.shutdown()


async def test_an_acknowledgement_that_only_the_stream_brought_leaves_nothing_unknown(
    tmp_path: Path,
) -> None:
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    await loop.start()
    try:
        await trading(loop)
        order = resting(loop)

        async def heard_then_reset(client_id: str) -> None:
            found = {o.client_id: o for o in await venue.inner.open_orders()}
            venue.say(found[client_id])
            raise ConnectionResetError

        venue.after_place = heard_then_reset
        made = loop.submit_order("paper", order)
        await until(lambda: loop.counts["error"] == 1)
        record = loop.sessions["paper"].oms.state.orders[made]
        assert record.status is OrderStatus.OPEN
        assert record.venue_id
    finally:
        venue.after_place = None
        await loop.shutdown()


async def test_another_order_under_our_id_is_left_to_the_poll_which_latches(
    tmp_path: Path,
) -> None:
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    await loop.start()
    try:
        await trading(loop)
        made = loop.submit_order("paper", resting(loop))
        await until(lambda: loop.counts["ok"] == 1)
        polls = asyncio.Event()

        async def count() -> None:
            polls.set()

        venue.before_any = count
        body = Order(SYMBOL, Side.SELL, Decimal(1), price=Decimal(1))
        venue.say(VenueOrder(made, "9", body, OrderStatus.CANCELLED, Decimal(0)))
        assert loop.sessions["paper"].oms.state.orders[made].status is OrderStatus.OPEN
        await asyncio.wait_for(polls.wait(), 5)
    finally:
        await loop.shutdown()


ORDER = Order(SYMBOL, Side.BUY, Decimal(3), price=Decimal(10))


def story() -> list[VenueEvent]:
    """One order: acknowledged, filled in three parts, closed."""
    fills = [
        Trade(str(n), "tp-1", SYMBOL, Side.BUY, Decimal(10), Decimal(1), float(n)) for n in range(3)
    ]
    opened = VenueOrder("tp-1", "7", ORDER, OrderStatus.OPEN, Decimal(0))
    done = VenueOrder("tp-1", "7", ORDER, OrderStatus.FILLED, Decimal(3))
    return [opened, *fills, done]


@given(seed=st.integers(0, 1 << 32), repeats=st.integers(1, 3), dropped=st.sets(st.integers(0, 4)))
def test_any_order_repetition_and_loss_ends_in_the_same_book(
    tmp_path_factory: pytest.TempPathFactory, seed: int, repeats: int, dropped: set[int]
) -> None:
    oms = Oms(tmp_path_factory.mktemp("oms"), "paper", clock=lambda: 0.0)
    oms.open()
    ear = UserStreamHandler(oms, request_poll=lambda: None, lost=lambda _why: None)
    oms.queue("tp-1", ORDER)
    oms._write(t="intent", id="tp-1", hash="", epoch=0, ts=0.0)
    events = [e for n, e in enumerate(story()) if n not in dropped] * repeats
    random.Random(seed).shuffle(events)
    for event in events:
        ear.on_event(event)
    # The poll that proves completeness: the trade list, and the venue's word on the order.
    trades = tuple(e for e in story() if isinstance(e, Trade))
    oms.book(trades, "3")
    closed = story()[-1]
    assert isinstance(closed, VenueOrder)
    oms.closed(closed)
    record = oms.state.orders["tp-1"]
    assert (record.status, record.filled) == (OrderStatus.FILLED, Decimal(3))
    assert oms.state.positions == {SYMBOL: Decimal(3)}
    assert oms.state.cash == Decimal(-30)
    assert not oms.state.live
    oms.close()


@pytest.mark.parametrize(
    ("status", "told", "asks"),
    [
        (OrderStatus.OPEN, 0, False),
        (OrderStatus.PARTIALLY_FILLED, 1, False),  # booked already
        (OrderStatus.PARTIALLY_FILLED, 2, True),
        (OrderStatus.FILLED, 3, True),
        (OrderStatus.CANCELLED, 2, True),
        (OrderStatus.CANCELLED, 1, False),
    ],
)
def test_a_stream_that_tells_sums_has_the_trades_read(
    tmp_path: Path, status: OrderStatus, told: int, asks: bool
) -> None:
    oms = Oms(tmp_path, "paper", clock=lambda: 0.0)
    oms.open()
    asked: list[None] = []
    ear = UserStreamHandler(oms, request_poll=lambda: asked.append(None), lost=lambda _why: None)
    oms.queue("tp-1", ORDER)
    ear.on_event(story()[0])
    ear.on_event(story()[1])
    ear.on_event(VenueOrder("tp-1", "7", ORDER, status, Decimal(told)))
    assert bool(asked) is asks
    oms.close()


def test_a_lost_disk_does_not_end_the_stream(tmp_path: Path) -> None:
    """Found by the chaos campaign: an event that can't be written ended the very connection over
    which a runner whose disk was full was about to cancel what rested."""
    broken = False

    def fsync(_fd: int) -> None:
        if broken:
            raise OSError(28, "No space left on device")

    oms = Oms(tmp_path, "v", clock=lambda: 0.0, fsync=fsync)
    oms.open()
    wanted = Order(SYMBOL, Side.BUY, Decimal(1), price=Decimal(9))
    oms.queue("id", wanted)
    broken = True
    with pytest.raises(DurabilityLost):
        asyncio.run(oms.intend("id"))
    asked: list[str] = []
    ear = UserStreamHandler(oms, request_poll=lambda: asked.append("ask"), lost=asked.append)
    ear.on_event(VenueOrder("id", "7", wanted, OrderStatus.OPEN, Decimal(0)))
    assert asked == ["ask"]  # the poll is what meets the disk, and halts
    ear.on_event(StreamLost("cut"))
    assert asked == ["ask", "cut"]
    oms.close()


async def test_polling_rests_on_the_stream_only_once_it_runs(tmp_path: Path) -> None:
    """Real connectors stream from the moment that they are connected, and not before."""
    venue = Streaming(tmp_path)
    venue.streaming = False
    loop = make_loop(tmp_path, venue)
    loop.config = dataclasses.replace(
        loop.config, fill_poll_interval=0.05, reconcile_interval=300.0
    )
    polls = 0

    def count(_venue: str, _positions: object) -> None:
        nonlocal polls
        polls += 1

    loop.on_position_snapshot.connect(count)
    await loop.start()
    try:
        await trading(loop)
        await until(lambda: polls >= 3)
        venue.streaming = True
        seen = polls + 1  # one may be under way
        loop.sessions["paper"].wake.set()
        await until(lambda: polls >= seen)
        resting_at, beats = polls, loop.heartbeat
        await until(lambda: loop.heartbeat > beats + 0.4)  # time for eight of the old polls
        assert polls <= resting_at + 1
        # Whoever asks for a poll still gets it.
        resting_at = polls
        loop.sessions["paper"].wake.set()
        await until(lambda: polls > resting_at)
    finally:
        await loop.shutdown()


async def test_a_venue_that_wants_silence_is_sent_nothing_and_nothing_counts_as_failed(
    tmp_path: Path,
) -> None:
    venue = Streaming(tmp_path)
    loop = quiet(tmp_path, venue)
    await loop.start()
    try:
        await trading(loop)
        venue.banned_for = 2.5
        made = loop.submit_order("paper", resting(loop))
        book = loop.sessions["paper"].oms.state.orders
        await until(lambda: book[made].status is OrderStatus.EXPIRED)
        assert "silent for 2.5 s more" in book[made].reason
        assert venue.placed == []
        assert loop.counts == {"submitted": 0, "ok": 0, "error": 0}
        assert b'validations_total{outcome="venue_throttled"} 1.0' in loop.metrics.render()
        venue.banned_for = 0.0
        again = loop.submit_order("paper", resting(loop))
        await until(lambda: venue.placed == [again])
    finally:
        await loop.shutdown()
