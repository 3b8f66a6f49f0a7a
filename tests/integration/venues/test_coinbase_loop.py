"""The whole loop on a Coinbase venue that misbehaves: nothing doubled, nothing lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.runner_fixtures import kill, limits, trading, until
from tests.support.runner.venues.coinbase_fixtures import (
    SYMBOL,
    Bench,
    build,
    buy,
    market,
    quiet_venue,
    sell,
    store,
)
from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.brokerage import Replay
from tests.support.venues.coinbase.keys import make_ed25519
from tests.support.venues.exchange import Side as VenueSide
from tests.support.venues.faults import Fault
from tradepulse_runner.config.runner import StrategyConfig
from tradepulse_runner.domain import OrderStatus, Side
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.live.reconciliation import Drift
from tradepulse_runner.oms.epoch import OrderIds
from tradepulse_runner.oms.state import OrderRecord
from tradepulse_runner.risk.manager import RiskManager
from tradepulse_runner.strategy.catalog import build_strategy
from tradepulse_runner.venues.coinbase.known import Known

D = Decimal


class Trader(Bench):
    """A loop that trades on the bench."""

    def __init__(self, venue: CoinbaseVenue, loop: LiveExecutionLoop) -> None:
        self.loop = loop
        self.venue = venue
        self.drifts: list[Drift] = []
        loop.on_drift.connect(lambda _name, kind, _detail: self.drifts.append(kind))

    def record(self, client_id: str) -> OrderRecord:
        return self.loop.sessions["cb"].oms.state.orders[client_id]

    @property
    def position(self) -> Decimal:
        return self.loop.sessions["cb"].oms.state.positions[SYMBOL]

    @property
    def true_position(self) -> Decimal:
        held = self.venue.exchange.balances("runner")["BTC"]
        return held.free + held.locked


def make_loop(folder: Path, venue: CoinbaseVenue, pair: Any, **more: Any) -> LiveExecutionLoop:
    strategy = more.pop("strategy", None)
    return LiveExecutionLoop(
        {"cb": build(venue, store(pair), **more)},
        RiskManager(limits(max_orders_per_interval=500), clock=time.time),
        strategy=strategy,
        config=LiveLoopConfig(
            folder,
            submission_interval=0.05,
            reconcile_interval=0.5,
            heartbeat_interval=0.1,
            max_backoff=0.3,
        ),
    )


def set_fence(loop: LiveExecutionLoop, seconds: float) -> Any:
    """No test waits half a minute; returns the connector."""
    connector: Any = loop.sessions["cb"].connector
    fence = {"token_lifetime": 0, "fence_margin": seconds}
    connector._options = connector._options.model_copy(update=fence)  # for the next connection
    connector.outcome_horizon = seconds
    return connector


@contextlib.asynccontextmanager
async def trader(folder: Path, **more: Any) -> AsyncIterator[Trader]:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        loop = make_loop(folder, venue, pair, **more)
        made = Trader(venue, loop)
        made.meet(VenueSide.BUY, "1", "49990")
        made.meet(VenueSide.SELL, "1", "50010")
        await loop.start()
        try:
            await trading(loop)
            yield made
        finally:
            await loop.shutdown()
        assert not venue.exchange.open_orders("runner")


@pytest.fixture(autouse=True)
def quick_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing more can be settled, it isn't waited for."""
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 2.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connector that gives up an answer after 0.3 s."""
    monkeypatch.setattr("tradepulse_runner.venues.coinbase.rest.TOTAL_TIMEOUT", 0.3)


async def test_a_resting_order_fills_in_parts_and_each_is_booked(tmp_path: Path) -> None:
    async with trader(tmp_path) as t:
        made = t.loop.submit_order("cb", sell())
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        t.meet(VenueSide.BUY, "0.03", "50005")
        await until(lambda: t.record(made).filled == D("0.03"))
        assert t.record(made).status is OrderStatus.PARTIALLY_FILLED
        t.meet(VenueSide.BUY, "0.07", "50005")
        await until(lambda: t.record(made).status is OrderStatus.FILLED)
        assert t.position == t.true_position == D("1.9")
        state = t.loop.sessions["cb"].oms.state
        fee = D("0.1") * 50005 * D("0.001")
        assert state.cash == pytest.approx(D("0.1") * 50005 - fee - 2 * 50000)
        assert not t.drifts


@pytest.mark.parametrize(
    "kind", ["timeout_after_accept", "error_after_accept", "reset_after_accept"]
)
@pytest.mark.usefixtures("impatient")
async def test_an_accepted_order_without_an_answer_is_found_and_never_doubled(
    tmp_path: Path, kind: str
) -> None:
    async with trader(tmp_path) as t:
        t.venue.faults.add(Fault("place", kind, seconds=5))
        t.venue.faults.add(Fault("stream", "drop_fills"))
        made = t.loop.submit_order("cb", buy())
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        await until(lambda: t.loop.counts["submitted"] == 1)
        assert [o.client_id for o in t.mine()] == [made]
        assert t.record(made).venue_id
        assert t.posts() == 1


@pytest.mark.usefixtures("impatient")
async def test_an_order_that_never_arrived_expires_when_it_can_no_longer(tmp_path: Path) -> None:
    async with trader(tmp_path) as t:
        set_fence(t.loop, 1.5)
        t.venue.faults.add(Fault("place", "timeout_before_accept", seconds=5))
        began = time.monotonic()
        made = t.loop.submit_order("cb", buy())
        await until(lambda: t.record(made).status is OrderStatus.UNKNOWN)
        assert t.loop.sessions["cb"].oms.state.exposure(SYMBOL).buying == D("0.1")  # reserved
        await until(lambda: t.record(made).status is OrderStatus.EXPIRED)
        assert time.monotonic() - began >= 1.5
        assert t.posts() == 1


async def test_an_order_that_turns_up_after_the_fence_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence is an assumption here: where it doesn't hold, the next poll repairs it."""
    async with trader(tmp_path) as t:
        connector = set_fence(t.loop, 0.5)
        connector.listen(lambda _event: None)  # the stream would tell at once
        monkeypatch.setattr(Known, "venue_id", lambda _self, _client_id: "")
        t.venue.behaviour.history_lag = 3.0
        t.venue.faults.add(Fault("place", "reset_after_accept"))
        made = t.loop.submit_order("cb", buy())
        await until(lambda: t.record(made).status is OrderStatus.EXPIRED)
        assert t.mine()
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        assert Drift.ORDER_REOPENED in t.drifts
        assert t.loop.sessions["cb"].oms.state.exposure(SYMBOL).buying == D("0.1")


async def test_an_order_that_only_the_stream_showed_is_not_given_up(tmp_path: Path) -> None:
    async with trader(tmp_path) as t:
        t.venue.behaviour.history_lag = 2.0
        t.venue.faults.add(Fault("place", "reset_after_accept"))
        made = t.loop.submit_order("cb", buy())
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        await trading(t.loop)
        assert t.record(made).status is OrderStatus.OPEN
        assert t.posts() == 1


@pytest.mark.parametrize("replay", [Replay.ECHO, Replay.ORDER])
async def test_another_order_under_our_id_latches_the_kill_switch(
    tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trader(tmp_path) as t:
        t.venue.behaviour.replay = replay
        await until(lambda: t.loop.phase()[0] is Phase.TRADING)
        taken = t.loop.submit_order("cb", buy())
        await until(lambda: t.record(taken).status is OrderStatus.OPEN)
        again = taken[:-1] + "x"
        t.place("0.7", again, price="49000")
        monkeypatch.setattr(OrderIds, "next", lambda _self: again)
        t.loop.submit_order("cb", buy())
        await until(lambda: t.loop.kill_switch[0])
        assert again in t.loop.kill_switch[1]
        await until(lambda: not t.mine())  # both, by the venue's book
        assert t.loop.counts["ok"] == 1


async def test_a_fill_that_the_stream_dropped_is_found_by_polling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepulse_runner.live.reconciliation.STREAM_LAG", 0.0)
    async with trader(tmp_path) as t:
        made = t.loop.submit_order("cb", sell())
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        t.venue.faults.add(Fault("stream", "drop_fills"))
        t.meet(VenueSide.BUY, "0.1", "50005")
        await until(lambda: t.record(made).status is OrderStatus.FILLED)
        assert t.position == t.true_position
        assert Drift.FILL_NOT_STREAMED in t.drifts


@pytest.mark.parametrize("loss", ["gap", "cut", "silence"])
async def test_a_lost_stream_stops_trading_until_reconciled(tmp_path: Path, loss: str) -> None:
    async with trader(tmp_path, silence=1.5) as t:
        made = t.loop.submit_order("cb", sell())
        await until(lambda: t.record(made).status is OrderStatus.OPEN)
        back: list[int] = []
        t.loop.on_reconnect.connect(lambda _venue, attempt, _delay, _why: back.append(attempt))
        if loss == "gap":
            t.venue.lose_message()
        elif loss == "cut":
            t.venue.faults.add(Fault("stream", "cut_stream"))
        else:
            t.venue.faults.add(Fault("stream", "silence_stream", seconds=30))
        t.meet(VenueSide.BUY, "0.1", "50005")
        await until(lambda: back and back[-1] == 0)
        await trading(t.loop)
        await until(lambda: t.record(made).status is OrderStatus.FILLED)
        assert back[0] == 1
        assert t.position == t.true_position == D("1.9")


async def test_refused_credentials_latch_the_kill_switch(tmp_path: Path) -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        loop = make_loop(tmp_path, venue, pair)
        made = Trader(venue, loop)
        made.meet(VenueSide.BUY, "1", "49990")
        made.meet(VenueSide.SELL, "1", "50010")
        await loop.start()
        try:
            await trading(loop)
            venue.remove_key(pair.name)
            await until(lambda: loop.kill_switch[0])
            assert pair.secret not in loop.kill_switch[1]
        finally:
            await loop.shutdown()


async def test_a_crash_between_request_and_answer_ends_with_one_order(tmp_path: Path) -> None:
    pair = make_ed25519()
    async with quiet_venue(pair) as venue:
        first = Trader(venue, make_loop(tmp_path, venue, pair))
        first.meet(VenueSide.BUY, "1", "49990")
        first.meet(VenueSide.SELL, "1", "50010")
        await first.loop.start()
        await trading(first.loop)
        venue.faults.add(Fault("place", "timeout_after_accept", seconds=2))
        made = first.loop.submit_order("cb", sell())
        await until(first.mine)
        await kill(first.loop)
        first.meet(VenueSide.BUY, "0.04", "50005")  # while nobody looked

        second = Trader(venue, make_loop(tmp_path, venue, pair))
        await second.loop.start()
        try:
            await trading(second.loop)
            record = second.record(made)
            assert (record.status, record.filled) == (OrderStatus.PARTIALLY_FILLED, D("0.04"))
            assert second.position == second.true_position == D("1.96")
            assert second.posts() == 1
        finally:
            await second.loop.shutdown()
        assert not second.mine()


STORM = [
    Fault("place", "error_after_accept", after=5),
    Fault("place", "reset_after_accept", after=12),
    Fault("place", "error_before_accept", after=20),
    Fault("cancel", "error_after_accept", after=2),
    Fault("stream", "drop_fills", times=3, after=4),
    Fault("stream", "reorder_stream", after=9),
    Fault("stream", "cut_stream", after=30),
    Fault("trades", "error_before_accept", after=10),
    Fault("open_orders", "error_before_accept", after=8),
]


async def test_a_strategy_trades_through_a_storm_of_faults(tmp_path: Path) -> None:
    """Every order and every satoshi is accounted for in the end."""
    pair = make_ed25519()
    async with CoinbaseVenue(interval=0.02, private_rate=None) as venue:
        venue.add_key(pair.name, pair.public_key_pem)
        venue.exchange.deposit("runner", "USD", D(1_000_000))
        venue.exchange.deposit("runner", "BTC", D(2))
        wanted = {"orders_per_second": 30, "max_working": 8}
        strategy = build_strategy(
            StrategyConfig(name="mean-reversion", parameters=wanted), source="f.yaml"
        )
        t = Trader(venue, make_loop(tmp_path, venue, pair, strategy=strategy))
        await t.loop.start()
        try:
            await trading(t.loop)
            set_fence(t.loop, 1.0)
            for fault in STORM:
                venue.faults.add(fault)
            await until(lambda: t.loop.counts["submitted"] >= 60, seconds=30)
            await until(lambda: len(venue.faults.fired) >= len(STORM), seconds=30)
        finally:
            await t.loop.shutdown()
        assert not t.loop.kill_switch[0], t.loop.kill_switch
        assert not t.mine()
        assert t.position == t.true_position
        fills = venue.exchange.fills("runner")
        state = t.loop.sessions["cb"].oms.state
        assert fills
        assert len([f for f in fills]) <= len(state.trades)
        sent = [r.client_id for r in venue.requests if r.path.endswith("/orders")]
        assert len(sent) == len(set(sent)) == t.loop.counts["submitted"]


async def test_a_market_order_through_the_loop(tmp_path: Path) -> None:
    async with trader(tmp_path) as t:
        made = t.loop.submit_order("cb", market(Side.BUY, "0.2"))
        await until(lambda: t.record(made).status is OrderStatus.FILLED)
        assert t.position == t.true_position == D("2.2")
