"""The order state: the same records give the same state, each fill counts once."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.runner.order_books import opened, order, script, trade
from tests.support.runner.runner_fixtures import SYMBOL
from tradepulse_runner.domain import ZERO, OrderStatus, Trade
from tradepulse_runner.errors import SchemaTooNew, SnapshotDamaged
from tradepulse_runner.oms.epoch import ID_LIMIT, OrderIds, claim_epoch
from tradepulse_runner.oms.journal import MAGIC, list_segments
from tradepulse_runner.oms.state import KEEP_CLOSED, OmsState, order_to_json, trade_to_json


def queued(client: str = "a", quantity: str = "1") -> dict[str, Any]:
    return {
        "t": "queued", "id": client, "order": order_to_json(order(quantity)), "epoch": 1, "ts": 1.0
    }  # fmt: skip


def fill(found: Trade) -> dict[str, Any]:
    return {"t": "fill", "trade": trade_to_json(found)}


def status(to: OrderStatus, client: str = "a") -> dict[str, Any]:
    return {"t": "status", "id": client, "status": str(to), "reason": "", "venue_id": "7"}


def closing(to: OrderStatus, filled: str, client: str = "a") -> dict[str, Any]:
    return {"t": "closing", "id": client, "status": str(to), "filled": filled}


@given(st.lists(st.integers(0, 3), max_size=40))
def test_fills_count_once_in_any_order_and_number(arrivals: list[int]) -> None:
    trades = [trade(n, f"0.{n + 1}", price=f"10{n}.05") for n in range(4)]
    state = OmsState.replay([queued("a", "10"), *(fill(trades[n]) for n in arrivals)])
    seen = [trades[n] for n in sorted(set(arrivals))]
    assert state.positions.get(SYMBOL, ZERO) == sum((t.quantity for t in seen), ZERO)
    assert state.cash == -sum((t.quantity * t.price for t in seen), ZERO)
    assert state.orders["a"].filled == state.positions.get(SYMBOL, ZERO)


EVENTS: list[dict[str, Any]] = [
    {"t": "intent", "id": "a", "ts": 2.0},
    status(OrderStatus.OPEN),
    status(OrderStatus.UNKNOWN),
    fill(trade(1)),
    fill(trade(2)),
    closing(OrderStatus.CANCELLED, "0.5"),
]


@given(st.permutations(EVENTS[1:]))
def test_answers_may_overtake_each_other_but_fills_and_the_close_stand(
    events: list[dict[str, Any]],
) -> None:
    state = OmsState.replay([queued(), EVENTS[0], *events])
    assert state.positions[SYMBOL] == Decimal("0.5")
    assert state.orders["a"].filled == Decimal("0.5")
    # A late "unknown" may reopen the question, never lose the fills; the venue then settles it.
    if events.index(EVENTS[2]) < max(events.index(EVENTS[n]) for n in (3, 4, 5)):
        assert state.orders["a"].status is OrderStatus.CANCELLED


@given(st.lists(st.sampled_from([queued("a"), queued("b"), *EVENTS]), max_size=30))
def test_a_snapshot_is_the_state(events: list[dict[str, Any]]) -> None:
    state = OmsState.replay([queued(), *events])
    again = OmsState.from_json(state.to_json())
    assert again == state
    for later in EVENTS:
        state.apply(later)
        again.apply(later)
    assert again == state


def test_a_cancel_waits_for_the_fills_it_speaks_of() -> None:
    state = OmsState.replay([queued(), closing(OrderStatus.CANCELLED, "0.5"), fill(trade(1))])
    assert list(state.live) == ["a"]
    state.apply(fill(trade(2)))
    assert state.orders["a"].status is OrderStatus.CANCELLED
    assert not state.live


def test_a_fill_of_an_order_we_do_not_know_still_moves_the_position() -> None:
    state = OmsState.replay([fill(trade(1, client="foreign"))])
    assert state.positions[SYMBOL] == Decimal("0.25")
    assert not state.orders


def test_risk_stays_reserved_while_an_order_may_exist() -> None:
    state = OmsState.replay([queued(), {"t": "intent", "id": "a", "ts": 1.0}])
    for step in (None, status(OrderStatus.UNKNOWN), status(OrderStatus.OPEN)):
        if step:
            state.apply(step)
        assert state.exposure(SYMBOL).buying == 1
    state.apply(fill(trade(1)))
    assert state.exposure(SYMBOL).buying == Decimal("0.75")
    state.apply(closing(OrderStatus.CANCELLED, "0.25"))
    assert state.exposure(SYMBOL).buying == 0


def test_closed_orders_are_forgotten_after_a_while_but_no_live_one() -> None:
    state = OmsState.replay([queued("live")])
    for n in range(KEEP_CLOSED + 50):
        state.apply(queued(str(n)))
        state.apply(status(OrderStatus.REJECTED, str(n)))
    assert len(state.orders) == KEEP_CLOSED + 1
    assert "live" in state.live


def test_taking_over_the_venues_position_does_not_move_equity() -> None:
    state = OmsState.replay([fill(trade(1))])
    marks = {SYMBOL: Decimal("123.45")}
    before = state.equity(marks)
    state.apply({"t": "adjust", "symbol": SYMBOL, "quantity": "-3", "price": "123.45"})
    assert state.equity(marks) == before


# -- on disk -----------------------------------------------------------------------------------


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


async def test_restart_expires_the_queue_and_questions_what_flew(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    oms.close()
    again = opened(tmp_path)
    states = {name: r.status for name, r in again.state.orders.items()}
    assert states == {
        "filled": OrderStatus.FILLED,
        "partial": OrderStatus.PARTIALLY_FILLED,
        "flying": OrderStatus.UNKNOWN,
        "queued": OrderStatus.EXPIRED,
    }
    assert again.state.positions == {SYMBOL: Decimal("1.25")}
    assert (again.state.cursor, again.state.day) == ("5", "2026-01-02")
    again.close()


async def test_journal_torn_at_every_byte_gives_a_prefix_of_what_happened(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    for name in ("a", "b"):
        oms.queue(name, order())
        await oms.intend(name)
        oms.book((trade(len(oms.state.trades), client=name),), name)
    oms.close()
    segment = list_segments(tmp_path, "paper")[-1]
    whole = segment.read_bytes()
    positions = []
    for cut in range(len(MAGIC), len(whole) + 1):
        for path in list_segments(tmp_path, "paper"):
            path.unlink()
        segment.write_bytes(whole[:cut])
        torn = opened(tmp_path)
        positions.append(torn.state.positions.get(SYMBOL, ZERO))
        assert not torn.state.with_status(OrderStatus.PENDING, OrderStatus.QUEUED)
        torn.close()
    assert positions == sorted(positions)
    assert Counter(positions).keys() == {ZERO, Decimal("0.25"), Decimal("0.50")}


async def test_lost_current_snapshot_is_made_up_for_by_the_journal(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    oms.close()
    (tmp_path / "paper_oms.json").write_bytes(b"\0" * 50)
    again = opened(tmp_path)
    assert again.state.positions == {SYMBOL: Decimal("1.25")}
    assert again.state.cursor == "5"
    assert list((tmp_path / "incidents" / "quarantine").iterdir())
    again.close()


async def test_previous_snapshot_catches_up_after_any_number_of_restarts(tmp_path: Path) -> None:
    booked = 0
    for _life in range(6):
        oms = opened(tmp_path)
        assert oms.state.positions.get(SYMBOL, ZERO) == Decimal("0.25") * booked
        for _ in range(2):
            booked += 1
            oms.book((trade(booked),), str(booked))
            await oms.save()
        booked += 1
        oms.book((trade(booked),), str(booked))
        oms.close()
        (tmp_path / "paper_oms.json").write_bytes(b"")
    assert len(list_segments(tmp_path, "paper")) < 12


async def test_nothing_new_nothing_written(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    first = await oms.save()
    assert await oms.save() is first
    oms.close()


async def test_both_snapshots_lost_refuses_until_cold_start_sets_them_aside(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    oms.close()
    for name in ("paper_oms.json", "paper_oms.json.prev"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(SnapshotDamaged, match="cold_start"):
        opened(tmp_path)
    cold = opened(tmp_path, cold_start=True)
    assert cold.fresh
    assert not cold.state.orders
    aside = [p for p in (tmp_path / "incidents").iterdir() if p.name.startswith("cold-start")]
    assert len(list(aside[0].iterdir())) >= 3
    cold.close()


async def test_newer_journal_is_refused_before_anything_changes(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    oms.close()
    segment = list_segments(tmp_path, "paper")[-1]
    segment.write_bytes(MAGIC[:3] + bytes([MAGIC[3] + 1]))
    before = names(tmp_path)
    with pytest.raises(SchemaTooNew):
        opened(tmp_path)
    assert names(tmp_path) == before


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["book", "save", "restart", "tear"]), max_size=20))
async def test_any_history_of_saves_and_crashes_keeps_every_synced_fill(
    tmp_path_factory: pytest.TempPathFactory, history: list[str]
) -> None:
    path = tmp_path_factory.mktemp("oms")
    oms, booked = opened(path), 0
    for what in history:
        if what == "book":
            booked += 1
            oms.book((trade(booked),), str(booked))
        elif what == "save":
            await oms.save()
        else:
            oms.close()
            if what == "tear":
                with list_segments(path, "paper")[-1].open("ab") as handle:
                    handle.write(b"\x00\x00\x00\x20torn")
            oms = opened(path)
        assert oms.state.positions.get(SYMBOL, ZERO) == Decimal("0.25") * booked
    oms.close()


# -- ids ---------------------------------------------------------------------------------------


def test_epoch_begins_at_one_and_rises_with_each_start(tmp_path: Path) -> None:
    found = [claim_epoch(tmp_path, "ns/name") for _ in range(4)]
    assert [ids.epoch for ids in found] == [1, 2, 3, 4]
    assert len({ids.incarnation for ids in found}) == 1


@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_epoch_never_goes_back_when_its_file_is_damaged(tmp_path: Path, damage: str) -> None:
    for _ in range(3):
        last = claim_epoch(tmp_path, "ns/name")
    path = tmp_path / "epoch.json"
    path.unlink() if damage == "missing" else path.write_bytes(b"")
    assert claim_epoch(tmp_path, "ns/name").epoch > last.epoch


def test_a_lost_volume_repeats_no_id(tmp_path: Path) -> None:
    made = set()
    for life in range(20):
        directory = tmp_path / str(life)
        directory.mkdir()
        made.add(claim_epoch(directory, "ns/name").next())
    assert len(made) > 18  # 16 random bits: a clash needs a lost volume and bad luck


@given(st.integers(1, 36**5), st.integers(0, 36**6))
def test_ids_are_short_unique_and_known_as_ours(epoch: int, seq: int) -> None:
    ids = OrderIds("tp-01234567-", "abcd", epoch, seq)
    made = [ids.next() for _ in range(3)]
    assert all(len(text) <= ID_LIMIT and ids.ours(text) for text in made)
    assert all(first != second for first, second in pairwise(made))
    assert not OrderIds("tp-89abcdef-", "abcd", 1).ours(made[0])
