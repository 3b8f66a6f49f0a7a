"""The watch tracker: a watch that hangs or loses something is found, an idle one is not."""

from __future__ import annotations

from typing import cast

from tests.support.fakes.clock import FakeClock
from tests.support.fakes.kube import FakeKube
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.key import Key
from tradepulse_operator.manager.resync import Resync
from tradepulse_operator.manager.watch_tracker import WatchTracker

A, B = keys.runner("ns", "a"), keys.runner("ns", "b")


def test_an_idle_watch_owes_nothing() -> None:
    tracker = WatchTracker()
    tracker.delivered(A, "5")
    for now in (0, 100, 1000):
        assert tracker.listed([(A, "5")], tracker.known(), now) == []
    assert tracker.lag(10_000) == 0


def test_a_version_that_never_came_is_owed_until_it_comes() -> None:
    tracker = WatchTracker()
    tracker.delivered(A, "5")
    assert tracker.listed([(A, "6")], tracker.known(), 10) == [A]
    assert tracker.listed([(A, "9")], tracker.known(), 40) == [A]
    assert tracker.lag(70) == 60
    tracker.delivered(A, "8")
    assert tracker.lag(70) == 60
    tracker.delivered(A, "9")
    assert tracker.lag(70) == 0


def test_what_the_watch_knew_before_the_list_is_no_debt() -> None:
    tracker = WatchTracker()
    tracker.delivered(A, "7")
    assert tracker.listed([(A, "6")], tracker.known(), 0) == []


def test_a_ghost_is_looked_at_once_and_forgotten() -> None:
    tracker = WatchTracker()
    tracker.delivered(A, "5")
    assert tracker.listed([], tracker.known(), 0) == [A]
    assert tracker.listed([], tracker.known(), 30) == []
    assert tracker.lag(1000) == 0


def test_what_appears_during_the_list_is_not_taken_for_a_ghost() -> None:
    tracker = WatchTracker()
    known = tracker.known()
    tracker.delivered(B, "9")
    assert tracker.listed([], known, 0) == []
    assert tracker.listed([(B, "9")], tracker.known(), 30) == []


def test_what_is_deleted_during_the_list_is_not_owed_for_long() -> None:
    tracker = WatchTracker()
    tracker.delivered(A, "5")
    known = tracker.known()
    tracker.gone(A)
    assert tracker.listed([(A, "5")], known, 0) == [A]
    tracker.listed([], tracker.known(), 30)
    assert tracker.lag(31) == 0


async def test_the_audit_looks_at_what_was_missed_and_at_everything_now_and_then() -> None:
    kube, clock, tracker = FakeKube(), FakeClock(), WatchTracker()
    added: list[Key] = []
    later: list[Key] = []
    audit = Resync(
        cast(Kube, kube),
        clock,
        tracker,
        added.append,
        lambda key, _: later.append(key),
        namespaces=(None,),
        resync=300,
    )
    for name in ("a", "b"):
        kube.put(
            {
                "apiVersion": kinds.RUNNER[0],
                "kind": kinds.RUNNER[1],
                "metadata": {"name": name, "namespace": "ns"},
            }
        )
    tracker.delivered(A, "1")
    await audit.once()
    assert added == [B]
    assert later == [A, B]
    tracker.delivered(B, "2")
    clock.at += 30
    await audit.once()
    assert (added, later) == ([B], [A, B])
    clock.at += 300
    await audit.once()
    assert later == [A, B, A, B]
