"""REDUCING, the kill switch and the gate, through a running loop; judged by the venue's book."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.runner_fixtures import (
    SYMBOL,
    Venue,
    limits,
    market,
    paper,
    resting,
    trading,
    until,
)
from tests.support.runner.virtual_time import monotonic, unix_time
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.domain import Instrument, Order, OrderRef, OrderStatus, Side, VenueOrder
from tradepulse_runner.errors import NotTrading, OutcomeUnknown, RiskRejected, VenueDisconnected
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.killreport import read_report
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.oms.journal import list_segments, scan
from tradepulse_runner.release import Release
from tradepulse_runner.risk.manager import RiskManager
from tradepulse_runner.server import Server
from tradepulse_runner.state.backup import Backups
from tradepulse_runner.strategy.base import Action, MarketView, Strategy
from tradepulse_runner.venues.paper import PaperConnector, PaperOptions

VIRTUAL_TIME = True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 1.0)


def second_venue(folder: Path, name: str = "other") -> Venue:
    options = PaperOptions.model_validate({"seed": 4, "tick_interval": 0.02, "latency": 0})
    venue = VenueConfig(name=name, connector="paper", symbols=[SYMBOL])
    return Venue(PaperConnector(venue, options, folder / "paper", clock=unix_time))


def build(
    folder: Path,
    *venues: Venue,
    settings: dict[str, Any] | None = None,
    strategy: Strategy | None = None,
    **risk: Any,
) -> LiveExecutionLoop:
    return LiveExecutionLoop(
        {venue.name: venue for venue in venues or (Venue(paper(folder)),)},
        RiskManager(limits(**risk), clock=unix_time),
        strategy=strategy,
        clock=unix_time,
        monotonic=monotonic,
        config=LiveLoopConfig(
            folder,
            submission_interval=0.05,
            fill_poll_interval=0.1,
            heartbeat_interval=0.1,
            **{"max_backoff": 0.2, **(settings or {})},
        ),
    )


@contextlib.asynccontextmanager
async def started(loop: LiveExecutionLoop) -> AsyncIterator[LiveExecutionLoop]:
    await loop.start()
    try:
        await trading(loop)
        yield loop
    finally:
        await loop.shutdown()


@pytest.fixture
def control(tmp_path: Path) -> Path:
    folder = tmp_path / "control"
    folder.mkdir()
    return folder


def book(loop: LiveExecutionLoop, client_id: str, venue: str = "paper") -> OrderStatus:
    return loop.sessions[venue].oms.state.orders[client_id].status


def held(loop: LiveExecutionLoop, venue: str = "paper") -> Decimal:
    return loop.sessions[venue].oms.state.positions.get(SYMBOL, Decimal(0))


def open_at(venue: Venue) -> set[str]:
    return {order.client_id for order in venue.inner.exchange.open_orders()}


async def rest(loop: LiveExecutionLoop, count: int, venue: str = "paper", **of: Any) -> list[str]:
    """So many orders that rest at the venue."""
    made = [loop.submit_order(venue, resting(loop, **of)) for _ in range(count)]
    await until(lambda: all(book(loop, one, venue).working for one in made))
    return made


async def bought(loop: LiveExecutionLoop, quantity: str, venue: str = "paper") -> None:
    await traded(loop, Side.BUY, quantity, venue)


async def traded(loop: LiveExecutionLoop, side: Side, quantity: str, venue: str = "paper") -> None:
    """Market orders until so much has traded: one alone may find too little on the other side."""
    goal = held(loop, venue) + side.sign * Decimal(quantity)
    while left := abs(goal - held(loop, venue)):
        sent = loop.submit_order(venue, market(side, str(left)))
        await until(lambda: book(loop, sent, venue).terminal)  # noqa: B023


def sample(loop: LiveExecutionLoop, name: str, **labels: str) -> float | None:
    return loop.metrics.registry.get_sample_value(name, labels)


def states(loop: LiveExecutionLoop) -> set[str]:
    """The trading states whose series is 1: always exactly one."""
    found = {
        state: sample(loop, "tradepulse_trading_state", state=state)
        for state in ("ACTIVE", "REDUCING", "HALTED")
    }
    assert sorted(found.values(), key=str) == [0.0, 0.0, 1.0]
    return {state for state, value in found.items() if value}


def status(loop: LiveExecutionLoop) -> dict[str, Any]:
    return Server(loop, Release(version="1"), "h").status()


async def refused(loop: LiveExecutionLoop, order: Order, venue: str = "paper") -> str:
    with pytest.raises(RiskRejected) as caught:
        loop.submit_order(venue, order)
    return caught.value.rule


# -- reducing --------------------------------------------------------------------------------------


async def test_the_operators_word_reduces_and_taking_it_back_trades_on(
    tmp_path: Path, control: Path
) -> None:
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue, settings={"control_dir": control})
    async with started(loop):
        assert states(loop) == {"ACTIVE"}
        await bought(loop, "0.05")
        growing = await rest(loop, 2)
        taking = await rest(loop, 1, side=Side.SELL, quantity="0.03")
        (control / "trading").write_text("reduce t9 volume is thin")
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        assert states(loop) == {"REDUCING"}
        found = status(loop)
        assert (found["state"], found["trading_state"]) == ("REDUCING", "REDUCING")
        assert found["reduce"] == {"token": "t9", "reason": "volume is thin"}
        assert found["halt"] == {"token": "", "complete": False, "reason": ""}
        assert "volume is thin" in found["why"]

        # What could raise the position is taken back; what lowers it stays.
        await until(lambda: open_at(venue) == set(taking))
        await until(lambda: {book(loop, one) for one in growing} == {OrderStatus.CANCELLED})
        assert await refused(loop, resting(loop)) == "reduce_only"
        assert await refused(loop, market(Side.SELL, "0.03")) == "reduce_only"  # 0.03 are offered
        await traded(loop, Side.SELL, "0.02")

        (control / "trading").write_text("")
        await trading(loop)
        assert states(loop) == {"ACTIVE"}
        assert status(loop)["reduce"] == {"token": "", "reason": ""}
        await rest(loop, 1)


async def test_a_halt_after_a_reduce_is_a_halt(tmp_path: Path, control: Path) -> None:
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue, settings={"control_dir": control})
    async with started(loop):
        (control / "trading").write_text("reduce same x")
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        (control / "trading").write_text("halt same y")
        await until(lambda: loop.halt_complete)
        assert states(loop) == {"HALTED"}
        (control / "trading").write_text("reduce same x")
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        assert not loop.halt_complete


async def test_an_order_that_was_decided_before_the_word_came_is_not_sent(
    tmp_path: Path, control: Path
) -> None:
    """The word comes while the intent is being synced: the second look refuses the order."""
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue, settings={"control_dir": control})
    async with started(loop):
        await bought(loop, "0.05")
        oms = loop.sessions["paper"].oms
        sync, began, go, sent = oms._journal.sync, asyncio.Event(), asyncio.Event(), venue.placed[:]

        async def slow() -> None:
            began.set()
            await go.wait()
            await sync()

        oms._journal.sync = slow  # type: ignore[method-assign]
        more = loop.submit_order("paper", market(Side.BUY, "0.01"))
        less = loop.submit_order("paper", market(Side.SELL, "0.01"))
        await began.wait()
        (control / "trading").write_text("reduce t1 now")
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        go.set()
        await until(lambda: book(loop, less) is OrderStatus.FILLED)
        assert book(loop, more) is OrderStatus.EXPIRED
        assert venue.placed == [*sent, less]


async def away() -> None:
    raise VenueDisconnected("away")


@pytest.mark.parametrize("policy", ["halt", "reduce"])
async def test_while_one_venue_is_away_the_others_do_what_the_configuration_says(
    tmp_path: Path, policy: str
) -> None:
    here, there = Venue(paper(tmp_path)), second_venue(tmp_path)
    loop = build(tmp_path, here, there, settings={"while_reconciling": policy})
    async with started(loop):
        await bought(loop, "0.05")
        await bought(loop, "0.05", "other")
        there.before_any = away
        wanted = Phase.RECONCILING if policy == "halt" else Phase.REDUCING
        await until(lambda: loop.phase()[0] is wanted)
        if policy == "halt":
            assert await refused(loop, market(Side.SELL, "0.01")) == "not_trading"
        else:
            assert states(loop) == {"REDUCING"}
            await traded(loop, Side.SELL, "0.02")
            assert await refused(loop, market(Side.BUY, "0.01")) == "reduce_only"
            # Nobody knows what the other venue holds by now.
            with pytest.raises(NotTrading, match="other is being reconciled"):
                loop.submit_order("other", market(Side.SELL, "0.01"))
        there.before_any = None
        await trading(loop)
        await traded(loop, Side.SELL, "0.01", "other")


async def test_nothing_is_sent_before_every_venue_was_reconciled_once(tmp_path: Path) -> None:
    here, there = Venue(paper(tmp_path)), second_venue(tmp_path)
    there.before_any = away
    loop = build(tmp_path, here, there, settings={"while_reconciling": "reduce"})
    await loop.start()
    await until(lambda: loop.sessions["paper"].reconciled)
    assert loop.phase()[0] is Phase.RECONCILING
    assert await refused(loop, market()) == "not_trading"
    there.before_any = None
    await trading(loop)
    await loop.shutdown()


async def test_a_soft_loss_reduces_until_the_day_ends(tmp_path: Path) -> None:
    loop = build(tmp_path, soft_daily_loss="0.01")
    async with started(loop):
        await until(lambda: loop.sessions["paper"].oms.state.day)
        loop.submit_order("paper", market(quantity="0.1"))  # at the ask, marked at the mid: a loss
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        assert "daily loss" in loop.phase()[1]
        assert not loop.kill_switch[0]
        assert await refused(loop, resting(loop)) == "reduce_only"


# -- the gate --------------------------------------------------------------------------------------


async def test_what_the_venue_would_refuse_never_leaves_and_is_no_order_error(
    tmp_path: Path,
) -> None:
    venue = Venue(paper(tmp_path))
    async with started(build(tmp_path, venue)) as loop:
        good = resting(loop)
        assert good.price is not None
        steps = venue.instrument(SYMBOL)
        off_tick = dataclasses.replace(good, price=good.price + steps.tick / 2)
        off_lot = dataclasses.replace(good, quantity=good.quantity + steps.lot / 2)
        assert await refused(loop, off_tick) == "tick_size"
        assert await refused(loop, off_lot) == "lot_size"
        strict = Instrument(steps.tick, steps.lot, Decimal("0.02"), Decimal(5000), False)
        venue.instrument = lambda symbol: strict  # type: ignore[method-assign]
        assert await refused(loop, good) == "min_quantity"
        assert await refused(loop, resting(loop, quantity="0.05")) == "min_notional"
        assert await refused(loop, market(Side.SELL, "0.1")) == "short_sale"
        assert venue.placed == []
        assert loop.counts == {"submitted": 0, "ok": 0, "error": 0}
        for rule in ("tick_size", "lot_size", "min_quantity", "min_notional", "short_sale"):
            assert sample(loop, "tradepulse_risk_validations_total", outcome=rule) == 1


async def test_a_venue_that_described_nothing_gets_nothing(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))

    def nothing(symbol: str) -> Instrument:
        raise VenueDisconnected(f"{symbol}: not yet")

    async with started(build(tmp_path, venue)) as loop:
        good = resting(loop)
        venue.instrument = nothing  # type: ignore[method-assign]
        assert await refused(loop, good) == "instrument"


async def test_cancels_have_an_allowance_and_the_kill_switch_needs_none(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue, max_orders_per_interval=10, interval_seconds=600)
    async with started(loop):
        made = await rest(loop, 10)
        for one in made[:2]:
            await loop.cancel_order(one, "paper")
        for one in made[:2] * 4:  # closed ones: asking costs a message all the same
            await loop.cancel_order(one, "paper")
        with pytest.raises(RiskRejected) as caught:
            await loop.cancel_order(made[2], "paper")
        assert caught.value.rule == "max_cancels_per_interval"
        assert open_at(venue) == set(made[2:])
        await loop.engage_kill_switch("stop")
        await until(lambda: not open_at(venue))


async def test_a_strategy_that_asks_for_the_absurd_is_stopped(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with started(build(tmp_path, venue)) as loop:
        await rest(loop, 2)
        absurd = resting(loop, quantity="4")  # 12 times the largest order
        for _ in range(3):
            assert await refused(loop, absurd) == "max_order_notional"
        assert "3 absurd orders in a row" in loop.kill_switch[1]
        await until(lambda: not open_at(venue))
        assert await refused(loop, resting(loop)) == "not_trading"


async def test_the_same_order_again_and_again_is_refused(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue, duplicate_window=600, max_duplicates=2)
    async with started(loop):
        same = resting(loop)
        made = [loop.submit_order("paper", same) for _ in range(4)]
        await until(lambda: not any(book(loop, one) is OrderStatus.QUEUED for one in made))
        await until(lambda: len(open_at(venue)) == 2)
        assert [book(loop, one) for one in made[2:]] == [OrderStatus.EXPIRED] * 2
        assert venue.placed == made[:2]


class Idle:
    """A strategy that wants nothing, and notes which venues it was shown."""

    period = 0.01

    def __init__(self) -> None:
        self.shown: list[set[str]] = []

    def act(self, views: Sequence[MarketView]) -> list[Action]:
        self.shown.append({view.venue for view in views})
        return []


async def test_the_strategy_is_shown_no_venue_that_nobody_knows(tmp_path: Path) -> None:
    here, there = Venue(paper(tmp_path)), second_venue(tmp_path)
    idle = Idle()
    loop = build(tmp_path, here, there, settings={"while_reconciling": "reduce"}, strategy=idle)
    async with started(loop):
        await until(lambda: {"paper", "other"} in idle.shown)
        there.before_any = away
        await until(lambda: loop.phase()[0] is Phase.REDUCING)
        count = len(idle.shown)
        await until(lambda: len(idle.shown) > count + 3)
        assert idle.shown[count + 1 :] == [{"paper"}] * len(idle.shown[count + 1 :])

        def gone(symbol: str) -> Instrument:
            raise VenueDisconnected(f"{symbol}: lost this instant")

        here.instrument = gone  # type: ignore[method-assign]
        count = len(idle.shown)
        await until(lambda: len(idle.shown) > count + 3)  # it lives, and is shown nothing
        assert idle.shown[-1] == set()


# -- the kill switch -------------------------------------------------------------------------------


async def test_a_latch_engaged_by_another_process_is_noticed_at_once(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    heard: list[str] = []
    async with started(build(tmp_path, venue)) as loop:
        loop.on_kill_switch.connect(heard.append)
        await rest(loop, 5)
        KillSwitch(tmp_path, clock=unix_time).engage("smoke", by="Ada")
        await until(lambda: loop.kill_switch == (True, "smoke"))
        assert heard == ["smoke"]
        await until(lambda: not open_at(venue))
        await until(lambda: status(loop)["kill_switch"]["complete"])
        KillSwitch(tmp_path, clock=unix_time).reset(by="Ada", reason="it was steam")
        await trading(loop)
        assert heard == ["smoke"]


async def test_engaged_while_nobody_ran_comes_before_the_first_order(tmp_path: Path) -> None:
    KillSwitch(tmp_path, clock=unix_time).engage("smoke")
    venue = Venue(paper(tmp_path))
    loop = build(tmp_path, venue)
    await loop.start()
    assert await refused(loop, market()) == "not_trading"
    await until(lambda: loop.phase()[0] is Phase.HALTED)
    await loop.shutdown()
    assert venue.placed == []


class Stubborn(Venue):
    """Answers no cancel of the orders in ``keeps``."""

    keeps: frozenset[str] = frozenset()

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        if ref.client_id in self.keeps:
            raise OutcomeUnknown("504 from the venue")
        return await super().cancel_order(ref)


async def test_what_can_not_be_cancelled_is_listed_everywhere_until_it_is(tmp_path: Path) -> None:
    venue = Stubborn(paper(tmp_path))
    loop = build(tmp_path, venue, settings={"owner": "desk 7"})
    async with started(loop):
        made = await rest(loop, 5)
        venue.keeps = frozenset(made[:2])
        await loop.engage_kill_switch("stop")
        await until(lambda: open_at(venue) == venue.keeps)
        await until(lambda: read_report(tmp_path) is not None)
        await until(lambda: len((read_report(tmp_path) or {})["uncancelled"]) == 2)
        listed = (read_report(tmp_path) or {})["uncancelled"]
        assert {entry["order"] for entry in listed} == venue.keeps
        assert {entry["why"] for entry in listed} == {"504 from the venue"}
        assert {(e["algo"], e["owner"]) for e in listed} == {("test", "desk 7")}
        assert {(e["venue"], e["symbol"], e["side"], e["remaining"]) for e in listed} == {
            ("paper", SYMBOL, "buy", "0.01")
        }
        found = status(loop)["kill_switch"]
        assert found["uncancelled"] == listed
        assert (found["complete"], found["uncancelled_orders"]) == (False, 2)
        metric = "tradepulse_kill_switch_uncancelled_orders"
        assert sample(loop, metric, venue="paper") == 2
        assert len(json.dumps(found)) < 2000

        venue.keeps = frozenset()
        await until(lambda: not open_at(venue))
        await until(lambda: (read_report(tmp_path) or {})["complete"])
        assert (read_report(tmp_path) or {})["uncancelled"] == []
        await until(lambda: sample(loop, metric, venue="paper") == 0)
        assert status(loop)["kill_switch"]["complete"]


async def test_the_list_survives_a_restart(tmp_path: Path) -> None:
    venue = Stubborn(paper(tmp_path))
    loop = build(tmp_path, venue)
    await loop.start()
    await trading(loop)
    made = await rest(loop, 3)
    venue.keeps = frozenset(made[:1])
    await loop.engage_kill_switch("stop")
    await until(lambda: open_at(venue) == venue.keeps)
    await loop.shutdown()
    again = Stubborn(paper(tmp_path))
    again.keeps = venue.keeps
    second = build(tmp_path, again)
    await second.start()
    await until(lambda: second.phase()[0] is Phase.HALTED)
    assert [entry["order"] for entry in second.uncancelled] == made[:1]
    again.keeps = frozenset()
    await until(lambda: not open_at(again))
    await until(lambda: second.all_cancelled)
    await second.shutdown()


async def test_a_venue_that_is_away_does_not_save_the_orders_at_the_other(tmp_path: Path) -> None:
    here, there = Venue(paper(tmp_path)), second_venue(tmp_path)
    # Once away, a minute passes before the next attempt: the kill switch doesn't wait for that.
    loop = build(tmp_path, here, there, settings={"max_backoff": 60.0})
    async with started(loop):
        mine = await rest(loop, 3)
        theirs = await rest(loop, 2, "other")
        there.before_any = away
        await until(lambda: not loop.sessions["other"].reconciled)
        await loop.engage_kill_switch("stop")
        await until(lambda: not open_at(here))
        await until(lambda: {e["order"] for e in loop.uncancelled} == set(theirs))
        assert {book(loop, one) for one in mine} == {OrderStatus.CANCELLED}
        assert not loop.all_cancelled
        there.before_any = None
        await until(lambda: loop.all_cancelled)
        assert not open_at(there)


async def test_a_kill_ends_the_pause_before_the_next_attempt_to_reconnect(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    attempts: list[float] = []
    loop = build(tmp_path, venue, settings={"max_backoff": 600.0})
    async with started(loop):
        await rest(loop, 2)
        loop.on_reconnect.connect(lambda _venue, _attempt, delay, _exc: attempts.append(delay))
        venue.before_any = away
        await until(lambda: attempts and attempts[-1] > 4, seconds=30)
        venue.before_any = None
        assert not loop.sessions["paper"].reconciled
        await loop.engage_kill_switch("stop")
        await until(lambda: loop.all_cancelled, seconds=3)
        assert not open_at(venue)


async def test_a_slow_venue_does_not_hold_up_the_next_sweep_of_the_other(tmp_path: Path) -> None:
    here, there = Venue(paper(tmp_path)), Stubborn(second_venue(tmp_path).inner)
    loop = build(tmp_path, here, there)
    async with started(loop):
        await rest(loop, 1, "other")

        async def never(ref: OrderRef) -> VenueOrder:
            await asyncio.Event().wait()
            raise AssertionError(ref)

        there.cancel_order = never  # type: ignore[method-assign]
        release = asyncio.Event()

        async def late(_client_id: str) -> None:
            await release.wait()

        here.after_place = late
        sent = loop.submit_order("paper", resting(loop))
        await until(lambda: here.placed)
        await loop.engage_kill_switch("stop")
        await asyncio.sleep(0.3)  # the first sweep is under way, and stuck at the other venue
        release.set()  # only now is it known that our order rests
        await until(lambda: book(loop, sent) is OrderStatus.CANCELLED, seconds=5)
        assert not open_at(here)


async def test_a_backup_from_before_opens_nothing_and_hides_nothing(tmp_path: Path) -> None:
    venue = Stubborn(paper(tmp_path))
    loop = build(tmp_path, venue)
    await loop.start()
    await trading(loop)
    made = await rest(loop, 2)
    await loop.sessions["paper"].oms.save()
    backups = Backups(tmp_path, clock=unix_time)
    backups.make("before")
    venue.keeps = frozenset(made)
    await loop.engage_kill_switch("stop")
    await until(lambda: (read_report(tmp_path) or {}).get("uncancelled"))
    await loop.shutdown()
    assert backups.restore("before")["files"] > 0
    assert KillSwitch(tmp_path, clock=unix_time).reason == "stop"
    assert {e["order"] for e in (read_report(tmp_path) or {})["uncancelled"]} == set(made)
    second = build(tmp_path)
    await second.start()
    await until(lambda: second.all_cancelled)
    assert second.phase()[0] is Phase.HALTED
    await second.shutdown()


# -- who answers -----------------------------------------------------------------------------------


async def test_every_order_carries_algorithm_and_owner_on_disk(tmp_path: Path) -> None:
    loop = build(tmp_path, settings={"runner": "trading/btc"})
    async with started(loop):
        one = (await rest(loop, 1))[0]
        found = [
            record
            for path in list_segments(tmp_path, "paper")
            for _seq, record in scan(path.read_bytes(), name=str(path)).records
        ]
        queued = next(r for r in found if r["t"] == "queued" and r["id"] == one)
        intent = next(r for r in found if r["t"] == "intent" and r["id"] == one)
        assert (queued["order"]["algo"], queued["owner"]) == ("test", "trading/btc")
        assert (intent["algo"], intent["owner"]) == ("test", "trading/btc")
        snapshot = await loop.sessions["paper"].oms.save()
        saved = [o for o in snapshot.payload["state"]["orders"] if o["id"] == one]
        assert [(o["order"]["algo"], o["owner"]) for o in saved] == [("test", "trading/btc")]
