"""Who may write: each decision alone, then two processes in every order of events."""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.runner import lease_world
from tests.support.runner.lease_world import LeaseWorld, checked, normal, passed, successors
from tradepulse_runner.lease.decisions import SKIP, Action, Candidate, Record, Times

TIMES = Times(15.0, 10.0, 2.0)
MINE = Record("a", 4, 15.0, "t", "1")
THEIRS = Record("b", 4, 15.0, "t", "1")
GIVEN_BACK = Record("", 4, 15.0, "t", "1")
NEVER_HELD = Record(version="1")


def seen(record: Record | None, *, known: int = 0, at: float = 100.0) -> Candidate:
    return Candidate("a", known, TIMES, fence=6.0).observed(record, at)


def held(*, sent: float = 100.0) -> Candidate:
    return seen(GIVEN_BACK).taken(MINE, sent, sent + 1)


WAITING = [
    (None, 0, 999.0, Action.WAIT, "no Lease: the operator makes it"),
    (NEVER_HELD, 0, 100.0, Action.TAKE, "a runner that never traded has no predecessor"),
    (NEVER_HELD, 3, 114.9, Action.WAIT, "it may have been deleted while somebody held it"),
    (NEVER_HELD, 3, 115.0, Action.TAKE, "whoever held it has stopped by now"),
    (GIVEN_BACK, 3, 100.0, Action.TAKE, "given back"),
    (MINE, 3, 100.0, Action.TAKE, "our own earlier life"),
    (THEIRS, 3, 114.9, Action.WAIT, "held by another"),
    (THEIRS, 3, 115.0, Action.TAKE, "stood still for the whole duration"),
    (replace(THEIRS, duration=30.0), 3, 129.9, Action.WAIT, "the holder's duration counts"),
    (replace(THEIRS, duration=1.0), 3, 114.9, Action.WAIT, "ours does, too"),
]


@pytest.mark.parametrize(("record", "known", "now", "wanted", "why"), WAITING)
def test_when_it_is_taken(
    record: Record | None, known: int, now: float, wanted: Action, why: str
) -> None:
    assert seen(record, known=known).action(now) is wanted, why


def test_any_sign_of_life_starts_the_wait_again() -> None:
    me = seen(THEIRS).observed(replace(THEIRS, version="2"), 110.0)
    assert me.action(124.9) is Action.WAIT
    assert me.action(125.0) is Action.TAKE
    assert seen(THEIRS).observed(THEIRS, 110.0).action(115.0) is Action.TAKE


HOLDING = [
    (MINE, 109.9, Action.RENEW),
    (MINE, 110.0, Action.LOST),
    (THEIRS, 100.0, Action.LOST),
    (NEVER_HELD, 100.0, Action.LOST),
    (None, 100.0, Action.LOST),
]


@pytest.mark.parametrize(("record", "now", "wanted"), HOLDING)
def test_when_it_is_lost(record: Record | None, now: float, wanted: Action) -> None:
    assert held().observed(record, now).action(now) is wanted


def test_it_is_valid_from_when_the_renewal_was_sent() -> None:
    me = held(sent=100.0).renewed(MINE, sent=105.0, received=109.0)
    assert me.refusal(114.9) == ""
    assert "not renewed" in me.refusal(115.0)
    assert me.released().refusal(105.0)


QUIET = [
    (GIVEN_BACK, 9, 0.0, "whoever gives back has stopped"),
    (NEVER_HELD, 0, 0.0, "there was nobody"),
    (NEVER_HELD, 9, 6.0, "there may have been somebody"),
    (THEIRS, 9, 6.0, "it stopped, but what it sent may still arrive"),
    (MINE, 4, 0.0, "what our earlier life sent is in our journal"),
    (MINE, 3, 6.0, "our earlier life may have been quiet for another's sake"),
]


@pytest.mark.parametrize(("record", "known", "quiet", "why"), QUIET)
def test_a_new_holder_lets_the_last_requests_of_the_one_before_run_out(
    record: Record, known: int, quiet: float, why: str
) -> None:
    taken = seen(record, known=known).taken(replace(MINE, epoch=10), sent=200.0, received=201.0)
    assert bool(taken.refusal(201.0)) is (quiet > 0), why
    assert taken.refusal(200.0 + quiet + 1.5) == ""
    if quiet:
        assert "still arrive" in taken.refusal(205.9)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_epoch_is_above_all_that_was_ever_seen(known: int, published: int) -> None:
    me = seen(Record("b", published), known=known)
    assert me.next_epoch > max(known, published)


def test_a_refusal_says_who_holds_it() -> None:
    assert "b" in seen(THEIRS).refusal(100.0)
    assert seen(None).refusal(100.0)


# Two processes. Whatever the order of events, `checked` finds a second writer.


def contended(late: float, **more: Any) -> LeaseWorld:
    """``a`` trades, and ``b`` has seen that."""
    times = Times(3.0, 2.0, 1.0)
    found = lease_world.world(times, late, disks=(1, 1), **more)
    record = Record("a", 2, 3.0, version="0")
    a, b = found.processes
    holder = replace(a.me, seen=record, epoch=2, valid_until=2.0, quiet_until=-math.inf)
    a = replace(a, me=holder, disk=2)
    return replace(found, processes=(a, replace(b, me=b.me.observed(record, 0.0))), lease=record)


#: Distinct worlds to look at; there are about a million.
WORLDS = 10**7 if os.environ.get("EXPLORE") == "deep" else 8000
EVENTS = [{}, {"mortal": 0}, {"mortal": 1}, {"deletable": True}]


def explore(first: LeaseWorld, worlds: int) -> int:
    """Look at so many worlds, nearest first; how many there were. Raises AssertionError."""
    first = normal(checked(first))
    known, ahead = {first}, deque([first])
    while ahead and len(known) < worlds:
        current = ahead.popleft()
        for following in (*successors(current), passed(current, 1.0)):
            found = normal(checked(following))
            if max(process.me.epoch % SKIP for process in found.processes) > 3 or found in known:
                continue
            known.add(found)
            ahead.append(found)
    return len(known)


@pytest.mark.parametrize("late", [0.0, 3.0])
@pytest.mark.parametrize("more", EVENTS)
def test_no_order_of_events_makes_two_writers(more: dict[str, Any], late: float) -> None:
    assert explore(contended(late, **more), WORLDS) >= 3000


@settings(max_examples=150, deadline=None)
@given(
    rates=st.tuples(st.floats(0.9, 1.1), st.floats(0.9, 1.1)),
    offsets=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    more=st.sampled_from(EVENTS),
    late=st.sampled_from([0.0, 1.0, 7.0, 30.0]),
    choices=st.lists(st.integers(0, 2**16), min_size=40, max_size=160),
)
def test_clocks_that_differ_and_drift_make_no_two_writers(
    rates: tuple[float, float],
    offsets: tuple[float, float],
    more: dict[str, Any],
    late: float,
    choices: list[int],
) -> None:
    found = lease_world.world(TIMES, late, disks=(1, 1), **more)
    for index in (0, 1):
        found = found.has(index, rate=rates[index], offset=offsets[index])
    for choice in choices:
        kind, size = choice % 3, choice // 3
        if kind == 0:
            found = checked(passed(found, (0.1, 1.0, 4.0, 9.0, 16.0)[size % 5]))
        else:
            ahead = list(successors(found))
            found = checked(ahead[size % len(ahead)])


OBSERVED, RENEWED = Candidate.observed, Candidate.renewed


def _waits_since_first_seen(me: Candidate, record: Record | None, received: float) -> Candidate:
    same = me.seen is not None and record is not None and me.seen.holder == record.holder
    return replace(me, seen=record, seen_at=me.seen_at if same else received)


def _valid_since_the_answer(
    me: Candidate, record: Record, sent: float, received: float
) -> Candidate:
    return RENEWED(me, record, received, received)


FAULTS: list[tuple[str, Any, float, dict[str, Any]]] = [
    ("_was_released", lambda me, found: not found.holder, 0.0, {"deletable": True}),
    ("_requests_may_arrive", lambda me: False, 3.0, {}),
    ("_requests_may_arrive", lambda me: me.seen.holder != me.identity, 3.0, {"mortal": 1}),
    ("next_epoch", property(lambda me: me.known_epoch + 1), 0.0, {}),
    ("refusal", lambda me, now: "" if me.epoch and now >= me.quiet_until else "no", 0.0, {}),
    ("observed", _waits_since_first_seen, 0.0, {}),
    ("renewed", _valid_since_the_answer, 0.0, {}),
]


@pytest.mark.parametrize(("part", "fault", "late", "more"), FAULTS)
def test_the_exploration_finds_each_mistake(
    part: str, fault: Any, late: float, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Candidate, part, fault)
    with pytest.raises(AssertionError, match=r"may arrive|traded under"):
        explore(contended(late, **more), 60_000)
