"""Seven ways in which live runners lost, doubled or forgot orders; each is a test here.

In-process, with a venue that misbehaves at one chosen point. "kill" ends the loop as kill -9 does.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.credentials_fixtures import finish, pair, swapped
from tests.support.runner.runner_fixtures import (
    SYMBOL,
    Venue,
    at_venue,
    config,
    kill,
    make_loop,
    market,
    paper,
    resting,
    running,
    trading,
    until,
)
from tests.support.runner.venues.coinbase_json import fill
from tradepulse_runner.config.runner import GuardConfig, RunnerConfig
from tradepulse_runner.credentials.store import open_stores
from tradepulse_runner.domain import OrderStatus, Side
from tradepulse_runner.errors import (
    NotTrading,
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    RiskRejected,
    StateError,
)
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.release import Release
from tradepulse_runner.server import Server
from tradepulse_runner.venues.binance.wire import Fees, trade_from
from tradepulse_runner.venues.coinbase.wire import fill_from

VIRTUAL_TIME = True


def state(loop: LiveExecutionLoop) -> Any:
    return loop.sessions["paper"].oms.state


def status(loop: LiveExecutionLoop, client_id: str) -> OrderStatus:
    found: OrderStatus = state(loop).orders[client_id].status
    return found


async def stalled(_client_id: str) -> None:
    await asyncio.Event().wait()


# -- 1: a warm start sends again what filled while nobody watched --------------------------------


async def test_defect_1_what_filled_while_we_were_away_is_not_sent_again(tmp_path: Path) -> None:
    first = make_loop(tmp_path)
    await first.start()
    await trading(first)
    near = first.submit_order("paper", resting(first, away="0.0004"))
    far = first.submit_order("paper", resting(first, away="0.03"))
    await until(lambda: status(first, far).working)
    await kill(first)
    outside = at_venue(tmp_path)
    for _ in range(500):
        outside.tick()
    assert outside.fetch(near).status is OrderStatus.FILLED
    outside.close()

    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as second:
        assert status(second, near) is OrderStatus.FILLED
        assert status(second, far).working
        assert state(second).positions == {SYMBOL: Decimal("0.01")}
        assert venue.placed == []


@pytest.mark.parametrize("point", ["before", "after"])
async def test_defect_1_a_kill_around_the_request_neither_loses_nor_doubles(
    tmp_path: Path, point: str
) -> None:
    """Killed with the intent on disk, before the venue has it or before its answer is back."""
    venue = Venue(paper(tmp_path))
    first = make_loop(tmp_path, venue)
    await first.start()
    await trading(first)
    if point == "before":
        venue.before_place = stalled
    else:
        venue.after_place = stalled
    sent = first.submit_order("paper", market(quantity="0.02"))
    await until(lambda: venue.placed)
    if point == "after":
        await until(venue.inner.exchange.last_trade)
    await kill(first)

    again = Venue(paper(tmp_path))
    async with running(tmp_path, again) as second:
        filled = point == "after"
        assert status(second, sent) is (OrderStatus.FILLED if filled else OrderStatus.EXPIRED)
        assert state(second).positions.get(SYMBOL, 0) == (Decimal("0.02") if filled else 0)
        assert again.placed == []


# -- 2: a "cold start" that loads the old file and sends the old queue ---------------------------


async def test_defect_2_cold_start_believes_the_venue_and_sends_nothing_old(tmp_path: Path) -> None:
    first = make_loop(tmp_path)
    await first.start()
    await trading(first)
    held = first.submit_order("paper", market(quantity="0.03"))
    await until(lambda: status(first, held) is OrderStatus.FILLED)
    rests = first.submit_order("paper", resting(first))
    await until(lambda: status(first, rests).working)
    first.sessions["paper"].oms.queue("never-sent", resting(first))
    await kill(first)

    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue, cold_start=True) as second:
        assert state(second).positions == {SYMBOL: Decimal("0.03")}
        assert "never-sent" not in state(second).orders
        assert status(second, rests).working  # ours at the venue: taken over, not forgotten
        assert venue.placed == []


async def test_defect_2_a_queue_found_on_disk_is_expired(tmp_path: Path) -> None:
    first = make_loop(tmp_path)
    await first.start()
    await trading(first)
    first.sessions["paper"].oms.queue("old", resting(first))
    await kill(first)
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as second:
        assert status(second, "old") is OrderStatus.EXPIRED
        assert venue.placed == []


# -- 3: a timeout taken for a refusal, or re-sent for ever ---------------------------------------


@pytest.mark.parametrize(
    "fault", [TimeoutError("read"), OutcomeUnknown("503"), ConnectionResetError()]
)
@pytest.mark.parametrize("accepted", [True, False])
async def test_defect_3_no_answer_is_settled_by_asking_not_by_sending_again(
    tmp_path: Path, fault: Exception, accepted: bool
) -> None:
    venue = Venue(paper(tmp_path))

    async def lose(_client_id: str) -> None:
        raise fault

    async with running(tmp_path, venue) as loop:
        if accepted:
            venue.after_place = lose
        else:
            venue.before_place = lose
        sent = loop.submit_order("paper", resting(loop))
        await until(lambda: venue.placed)
        if not accepted:
            # Until it is proven that the venue never had it, its risk stays reserved.
            await until(lambda: status(loop, sent) is OrderStatus.UNKNOWN)
            assert state(loop).exposure(SYMBOL).buying == Decimal("0.01")
        wanted = OrderStatus.OPEN if accepted else OrderStatus.EXPIRED
        await until(lambda: status(loop, sent) is wanted)
        assert venue.placed == [sent]
        assert loop.counts == {"submitted": 1, "ok": 0, "error": 1}


async def test_defect_3_a_refusal_is_a_refusal(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))

    async def refuse(_client_id: str) -> None:
        raise OrderRejected("insufficient balance")

    async with running(tmp_path, venue) as loop:
        venue.before_place = refuse
        sent = loop.submit_order("paper", resting(loop))
        await until(lambda: status(loop, sent) is OrderStatus.REJECTED)
        assert state(loop).exposure(SYMBOL).buying == 0


# -- 4: state written in place, a failed fsync ignored -------------------------------------------


async def test_defect_4_a_failed_fsync_stops_trading_for_good_and_cancels(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    loop = make_loop(tmp_path, venue)
    await loop.start()
    await trading(loop)
    rests = loop.submit_order("paper", resting(loop))
    await until(lambda: status(loop, rests).working)

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    loop.sessions["paper"].oms._journal._log._fsync = fail
    loop.submit_order("paper", resting(loop))
    await until(lambda: loop.phase()[0] is Phase.HALTED)
    assert "fsync" in loop.phase()[1]
    await until(lambda: not venue.inner.exchange.open_orders())
    assert venue.placed == [rests]
    before = loop.heartbeat
    await until(lambda: loop.heartbeat > before)  # halted, yet observable
    await loop.shutdown()


async def test_defect_4_a_state_that_can_not_be_read_is_never_taken_for_an_empty_one(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as loop:
        held = loop.submit_order("paper", market(quantity="0.03"))
        await until(lambda: status(loop, held) is OrderStatus.FILLED)
        await loop.sessions["paper"].oms.save()
        loop.submit_order("paper", resting(loop))  # of which the next generation tells
    book, older = tmp_path / "paper_oms.json", tmp_path / "paper_oms.json.prev"
    torn = {path: path.read_bytes()[:-40] for path in (book, older)}
    for path, data in torn.items():
        path.write_bytes(data)
    again = make_loop(tmp_path)
    with pytest.raises(StateError, match="remedy"):
        await again.start()
    again._lock.release()
    assert {path: path.read_bytes() for path in torn} == torn  # nothing was written over it
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue, cold_start=True) as second:
        assert state(second).positions == {SYMBOL: Decimal("0.03")}
        assert venue.placed == []
    [kept] = await asyncio.to_thread(lambda: list(tmp_path.glob("incidents/cold-start-*")))
    assert {(kept / path.name).read_bytes() for path in torn} == set(torn.values())


# -- 5: what was queued leaves after the kill; a restart clears the switch ------------------------


async def test_defect_5_kill_cancels_all_sends_nothing_more_and_survives(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    heard: list[str] = []
    async with running(tmp_path, venue, max_orders_per_interval=200) as loop:
        loop.on_kill_switch.connect(heard.append)
        for _ in range(20):
            loop.submit_order("paper", resting(loop))
        await until(lambda: len(state(loop).working()) == 20)
        queued = [loop.submit_order("paper", resting(loop)) for _ in range(5)]
        sent = len(venue.placed)
        await loop.engage_kill_switch("test")
        assert heard == ["test"]
        with pytest.raises(NotTrading):
            loop.submit_order("paper", resting(loop))
        await until(lambda: not venue.inner.exchange.open_orders())
        await until(lambda: not state(loop).live)
        assert len(venue.placed) == sent
        assert {status(loop, c) for c in queued} == {OrderStatus.EXPIRED}

    second = make_loop(tmp_path)
    await second.start()
    await until(lambda: second.phase()[0] is Phase.HALTED)
    assert second.kill_switch == (True, "test")
    await second.shutdown()


async def test_defect_5_a_halt_during_the_sync_stops_the_order_that_waits_for_it(
    tmp_path: Path,
) -> None:
    """The window between "intent on disk" and "request sent" is closed by a second look."""
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as loop:
        oms = loop.sessions["paper"].oms
        sync, began, go = oms._journal.sync, asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            began.set()
            await go.wait()
            await sync()

        oms._journal.sync = slow  # type: ignore[method-assign]
        sent = loop.submit_order("paper", resting(loop))
        await began.wait()
        await loop.engage_kill_switch("in between")
        go.set()
        await until(lambda: status(loop, sent) is OrderStatus.EXPIRED)
        assert venue.placed == []


async def test_defect_5_a_latch_of_any_age_holds_and_the_heartbeat_goes_on(tmp_path: Path) -> None:
    KillSwitch(tmp_path, clock=lambda: 0.0).engage("half a century ago")
    loop = make_loop(tmp_path)
    await loop.start()
    await until(lambda: loop.phase()[0] is Phase.HALTED)
    assert loop.kill_switch == (True, "half a century ago")
    before = loop.heartbeat
    await until(lambda: loop.heartbeat > before)
    await loop.shutdown()


async def test_defect_5_daily_loss_latches_the_switch(tmp_path: Path) -> None:
    async with running(tmp_path, max_daily_loss="0.01") as loop:
        await until(lambda: state(loop).day)
        for side in (Side.BUY, Side.SELL) * 4:
            with_spread = market(side, "0.05")
            try:
                loop.submit_order("paper", with_spread)
            except RiskRejected:
                break
        await until(lambda: loop.kill_switch[0])
        assert "daily loss" in loop.kill_switch[1]


# -- 6: promised metrics that do not exist --------------------------------------------------------


def test_defect_6_every_promised_series_is_in_the_first_scrape() -> None:
    text = RunnerMetrics(["a", "b"], version="1", revision="r", config_hash="h").render().decode()
    for venue in ("a", "b"):
        for series in (
            f'live_loop_orders_submitted_total{{venue="{venue}"}} 0.0',
            f'live_loop_position_snapshot_timestamp{{venue="{venue}"}} 0.0',
            f'tradepulse_order_outcomes_total{{outcome="ok",venue="{venue}"}} 0.0',
            f'tradepulse_order_outcomes_total{{outcome="error",venue="{venue}"}} 0.0',
            f'tradepulse_order_latency_seconds_count{{venue="{venue}"}} 0.0',
            f'tradepulse_open_orders{{venue="{venue}"}} 0.0',
        ):
            assert series in text
    assert "live_loop_heartbeat 0.0" in text
    assert 'tradepulse_runner_info{config_hash="h",revision="r",version="1"} 1.0' in text
    assert 'tradepulse_risk_validations_total{outcome="passed"} 0.0' in text


async def test_defect_6_a_gap_in_what_is_measured_is_detected(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue, guard=GuardConfig(gap=1)) as loop:
        assert loop.guard.status()["silent"] == ""

        async def away() -> None:
            raise ConnectionRefusedError

        venue.before_any = away
        await until(lambda: loop.guard.status()["silent"] == "fill_poll paper")
        assert "live_loop_heartbeat" in loop.metrics.render().decode()


async def test_defect_6_credentials_in_the_state_directory_are_reloaded(tmp_path: Path) -> None:
    mount = tmp_path / "credentials" / "v"
    finish(swapped(mount, pair(1)))
    venue = {"name": "v", "connector": "binance", "symbols": ["BTCUSDT"]}
    stores = open_stores(RunnerConfig.model_validate(config(tmp_path, venues=[venue])), {})
    async with running(tmp_path, credentials={"paper": stores["v"]}) as loop:
        finish(swapped(mount, pair(2)))
        await until(lambda: stores["v"].current.generation == 2)
        assert (stores["v"].current.key, stores["v"].current.secret) == pair(2)
        assert loop.phase()[0] is Phase.TRADING


# -- 7: money as float, fills without a price -----------------------------------------------------


async def test_defect_7_money_is_decimal_from_venue_to_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        sent = loop.submit_order("paper", market(quantity="0.01234"))
        await until(lambda: status(loop, sent) is OrderStatus.FILLED)
        snapshot = await loop.sessions["paper"].oms.save()
        trades = at_venue(tmp_path).trades_since(0)
    book = snapshot.payload["state"]
    assert book["positions"] == {SYMBOL: "0.01234"}
    assert Decimal(book["cash"]) == -sum(t.quantity * t.price for t in trades)
    for found in book["orders"]:
        assert all(isinstance(found["order"][k], str | None) for k in ("quantity", "price"))


@pytest.mark.parametrize("price", [None, "", "0", "0.00"])
def test_defect_7_a_fill_without_a_price_is_no_trade(price: str | None) -> None:
    of_binance = {
        "symbol": "BTCUSDT", "id": 1, "orderId": 2, "price": price, "qty": "1",
        "commission": "0", "commissionAsset": "USDT", "time": 0, "isBuyer": True,
    }  # fmt: skip
    with pytest.raises(OrderError):
        trade_from(of_binance, "tp-1", Fees([]))
    with pytest.raises(OrderError):
        fill_from(fill(price=price))


# -- cancelling by an id alone ---------------------------------------------------------------------


async def test_an_order_is_cancelled_at_the_venue_that_has_it(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        one, other = (loop.submit_order("paper", resting(loop)) for _ in range(2))
        await until(lambda: len(state(loop).working()) == 2)
        await loop.cancel_order(one)
        assert status(loop, one) is OrderStatus.CANCELLED
        await loop.cancel_order(other, "paper")
        assert status(loop, other) is OrderStatus.CANCELLED
        with pytest.raises(OrderNotFound, match="no-such-order"):
            await loop.cancel_order("no-such-order")


# -- reconnecting, drift, probes ------------------------------------------------------------------


async def test_a_venue_that_is_away_stops_trading_until_it_is_reconciled(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    heard: list[tuple[str, int, Exception | None]] = []

    async def away() -> None:
        raise ConnectionRefusedError

    async with running(tmp_path, venue) as loop:
        loop.on_reconnect.connect(lambda name, n, _delay, exc: heard.append((name, n, exc)))
        venue.before_any = away
        await until(lambda: loop.phase()[0] is Phase.RECONCILING)
        with pytest.raises(NotTrading):
            loop.submit_order("paper", market())
        await until(lambda: len(heard) >= 3)
        venue.before_any = None
        await trading(loop)
    attempts = [n for _, n, _ in heard]
    assert attempts == [*range(1, len(attempts)), 0]
    assert heard[-1] == ("paper", 0, None)


async def test_a_position_that_is_not_ours_is_noticed_within_a_poll(tmp_path: Path) -> None:
    seen: list[Decimal | None] = []
    async with running(tmp_path) as loop:
        loop.on_position_snapshot.connect(lambda _v, held: seen.append(held.get(SYMBOL)))
        outside = at_venue(tmp_path)
        outside._db.execute("INSERT OR REPLACE INTO positions VALUES(?, '1.5')", (SYMBOL,))
        outside.close()
        await until(lambda: state(loop).positions.get(SYMBOL) == Decimal("1.5"))
        assert seen[-1] == Decimal("1.5")
        assert loop.phase()[0] is Phase.TRADING


async def test_a_listener_that_fails_does_not_stop_the_loop(tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("listener")

    async with running(tmp_path) as loop:
        loop.on_position_snapshot.connect(broken)
        before = loop.heartbeat
        await until(lambda: loop.heartbeat > before)
        assert loop.phase()[0] is Phase.TRADING


async def test_status_has_every_field_the_operator_reads_even_before_start(tmp_path: Path) -> None:
    found = Server(make_loop(tmp_path), Release(version="1.0.0", revision="abc"), "h").status()
    assert found["state"] == "STARTING"
    assert found["orders"] == {"submitted": 0, "ok": 0, "error": 0}
    assert set(found) >= {
        "release", "config_hash", "state", "halt", "kill_switch", "open_orders",
        "unknown_orders", "positions", "writer_epoch", "heartbeat", "orders", "snapshot",
    }  # fmt: skip
    assert found["halt"] == {"token": "", "complete": False, "reason": ""}
