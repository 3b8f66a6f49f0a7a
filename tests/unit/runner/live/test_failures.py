"""What else may go wrong while orders rest: disks, venues, clocks of others, and races."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.runner.runner_fixtures import (
    SYMBOL,
    Venue,
    at_venue,
    kill,
    limits,
    make_loop,
    market,
    paper,
    resting,
    running,
    trading,
    until,
)
from tradepulse_runner.domain import Instrument, Order, OrderStatus, Quote, Side
from tradepulse_runner.errors import RiskRejected, VenueDisconnected
from tradepulse_runner.killswitch import FILE, KillSwitch
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.oms.state import Exposure
from tradepulse_runner.risk.manager import RiskManager, RiskView

VIRTUAL_TIME = True

KEY = ("paper", SYMBOL)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 1.0)


def book(loop: LiveExecutionLoop, client_id: str) -> OrderStatus:
    return loop.sessions["paper"].oms.state.orders[client_id].status


def open_at_venue(folder: Path) -> int:
    world = at_venue(folder)
    try:
        return len(world.open_orders())
    finally:
        world.close()


async def rest(loop: LiveExecutionLoop, count: int = 2) -> list[str]:
    """So many orders that rest at the venue."""
    made = [loop.submit_order("paper", resting(loop)) for _ in range(count)]
    await until(lambda: all(book(loop, one).working for one in made))
    return made


# -- the disk --------------------------------------------------------------------------------


async def test_a_lost_disk_keeps_the_heartbeat_and_cancels_until_the_venue_obeys(
    tmp_path: Path,
) -> None:
    """One failed cancel must not be the last one, and the process must stay observable."""
    venue = Venue(paper(tmp_path))
    loop = make_loop(tmp_path, venue)
    await loop.start()
    await trading(loop)
    await rest(loop)

    async def no_answer(_client_id: str) -> None:
        await asyncio.Event().wait()

    venue.after_place = no_answer
    loop.submit_order("paper", resting(loop))  # rests there, and nobody told us
    await until(lambda: open_at_venue(tmp_path) == 3)
    away = True

    async def unreachable() -> None:
        if away:
            raise VenueDisconnected("paper: away")

    venue.before_any = unreachable
    loop.sessions["paper"].oms._journal._failed = "fsync failed"
    loop.state.fail_storage(OSError("I/O error"))
    assert loop.phase()[0] is Phase.HALTED
    await asyncio.sleep(0.6)  # longer than a sweep: cancels were tried in vain
    assert open_at_venue(tmp_path) == 3
    away, beat = False, loop.heartbeat
    await until(lambda: open_at_venue(tmp_path) == 0)
    await until(lambda: loop.heartbeat > beat)
    assert not loop.halt_complete
    await loop.shutdown()


async def test_a_journal_that_fails_names_the_disk_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as loop:
        await rest(loop)

        def refuse(_fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(loop.sessions["paper"].oms._journal._log, "_fsync", refuse)
        loop.submit_order("paper", resting(loop))
        await until(lambda: loop.phase()[0] is Phase.HALTED)
        assert "No space left on device" in loop.phase()[1]
        beat = loop.heartbeat
        await until(lambda: loop.heartbeat > beat)
        await until(lambda: open_at_venue(tmp_path) == 0)


async def test_shutdown_on_a_lost_disk_still_cancels_at_the_venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(tmp_path)
    await loop.start()
    await trading(loop)
    await rest(loop, 3)
    real = os.write

    def refuse(fd: int, data: bytes) -> int:
        if fd == loop.sessions["paper"].oms._journal._log._fd:
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("os.write", refuse)
    await loop.shutdown()
    assert open_at_venue(tmp_path) == 0


# -- halts -----------------------------------------------------------------------------------


async def test_a_halt_does_not_wait_for_the_next_regular_poll(tmp_path: Path) -> None:
    """Cancels wake the poller: with a poll a minute, a halt is done at once all the same."""
    control = tmp_path / "control"
    control.mkdir()
    loop = make_loop(tmp_path / "state", Venue(paper(tmp_path / "state")), control_dir=control)
    loop.config = dataclasses.replace(loop.config, fill_poll_interval=60.0)
    await loop.start()
    await trading(loop)
    for round_ in range(4):
        await rest(loop, 5)
        loop.submit_order("paper", market())
        (control / "trading").write_text(f"halt t{round_} now")
        await until(lambda: loop.halt_complete, seconds=4)
        assert open_at_venue(tmp_path / "state") == 0
        (control / "trading").write_text("")
        await trading(loop)
    await loop.shutdown()


async def test_a_completed_halt_does_not_answer_for_the_next(tmp_path: Path) -> None:
    """A second halt that arrives while the first one is being saved is not complete with it."""
    control = tmp_path / "control"
    control.mkdir()
    loop = make_loop(tmp_path / "state", control_dir=control)
    await loop.start()
    await trading(loop)
    await rest(loop)
    oms = loop.sessions["paper"].oms
    real, saving, go_on = oms.save, asyncio.Event(), asyncio.Event()

    async def slow():  # type: ignore[no-untyped-def]
        saving.set()
        await go_on.wait()
        return await real()

    oms.save = slow  # type: ignore[method-assign]
    (control / "trading").write_text("halt one now")
    await saving.wait()
    (control / "trading").write_text("halt two now")
    await until(lambda: loop.directive.token == "two")
    saving.clear()
    go_on.set()
    await saving.wait()  # saved again, for the second one
    await until(lambda: loop.halt_complete)
    await loop.shutdown()


async def test_a_latch_that_vanishes_is_not_a_reset(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        await loop.engage_kill_switch("stop")
        (tmp_path / FILE).unlink()
        beat = loop.heartbeat
        await until(lambda: loop.heartbeat > beat + 0.6)
        assert loop.phase()[0] is Phase.HALTED


def test_a_latch_lost_between_two_renames_counts_as_engaged(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path, clock=lambda: 1.0)
    switch.engage("first")
    switch.reset(by="ada", reason="looked")
    switch.engage("second")
    (tmp_path / FILE).unlink()  # what is left is the reset before it
    assert KillSwitch(tmp_path, clock=lambda: 1.0).engaged


# -- the venue -------------------------------------------------------------------------------


async def test_another_order_under_our_id_latches_and_cancels(tmp_path: Path) -> None:
    """The answer to one order is another order: ids collide, so nothing can be trusted."""
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as loop:
        await rest(loop)
        inner = venue.inner.place_order

        async def other(order: Order, idempotency_key: str):  # type: ignore[no-untyped-def]
            return await inner(
                dataclasses.replace(order, quantity=order.quantity * 2), idempotency_key
            )

        venue.inner.place_order = other  # type: ignore[method-assign]
        await asyncio.sleep(0)
        mine = loop.submit_order("paper", resting(loop))
        await until(lambda: loop.kill_switch[0])
        assert mine in loop.kill_switch[1]
        assert book(loop, mine) is OrderStatus.UNKNOWN
        await until(lambda: open_at_venue(tmp_path) == 0)
        assert venue.placed.count(mine) == 1


async def test_a_market_that_dies_is_reconnected_not_traded_on(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as loop:
        seen: list[int] = []
        loop.on_reconnect.connect(lambda _venue, attempt, _delay, _exc: seen.append(attempt))
        assert venue.inner._ticker is not None
        venue.inner._ticker.cancel()
        await until(lambda: 1 in seen)
        await until(lambda: 0 in seen)
        await trading(loop)


async def test_sigterm_before_reconciliation_cancels_by_the_venues_list(tmp_path: Path) -> None:
    first = make_loop(tmp_path)
    await first.start()
    await trading(first)
    await rest(first, 3)
    await kill(first)
    venue = Venue(paper(tmp_path))
    answered = asyncio.Event()

    async def no_trades(cursor: str | None):  # type: ignore[no-untyped-def]
        answered.set()
        raise VenueDisconnected("paper: trades are away")

    venue.trades_since = no_trades  # type: ignore[method-assign]
    second = make_loop(tmp_path, venue)
    await second.start()
    await answered.wait()
    assert second.phase()[0] is Phase.RECONCILING
    await second.shutdown()
    assert open_at_venue(tmp_path) == 0


# -- the rest --------------------------------------------------------------------------------


def test_a_position_above_the_notional_limit_can_be_reduced_but_not_grown() -> None:
    risk = RiskManager(limits(max_notional="50000"), clock=lambda: 1.0)
    quote = Quote(Decimal(59_990), Decimal(60_010), 1.0)
    held = {KEY: Exposure(Decimal(1), Decimal(0), Decimal(0))}
    steps = Instrument(Decimal("0.01"), Decimal("0.001"))
    view = RiskView(quote, held, {KEY: quote.mid}, frozenset({SYMBOL}), steps)
    risk.validate("paper", market(Side.SELL, "0.1"), view)
    with pytest.raises(RiskRejected) as refused:
        risk.validate("paper", market(Side.BUY, "0.1"), view)
    assert refused.value.rule == "max_notional"
    with pytest.raises(RiskRejected):
        risk.validate("paper", Order(SYMBOL, Side.SELL, Decimal("2.1"), price=quote.bid), view)


async def test_an_order_whose_intent_took_too_long_to_journal_is_not_sent(tmp_path: Path) -> None:
    """The venue's fence counts from the intent: what is signed much later could outlive it."""
    venue = Venue(paper(tmp_path))
    async with running(tmp_path, venue) as loop:
        oms = loop.sessions["paper"].oms
        intend = oms.intend

        async def slowly(client_id: str) -> None:
            await intend(client_id)
            oms.state.orders[client_id].sent_at -= 5.1

        oms.intend = slowly  # type: ignore[method-assign]
        late = loop.submit_order("paper", resting(loop))
        await until(lambda: book(loop, late) is OrderStatus.EXPIRED)
        assert oms.state.orders[late].reason == "not sent: the journal took 5.1 s"
        oms.intend = intend  # type: ignore[method-assign]
        prompt = loop.submit_order("paper", resting(loop))
        await until(lambda: book(loop, prompt).working)
        assert venue.placed == [prompt]
