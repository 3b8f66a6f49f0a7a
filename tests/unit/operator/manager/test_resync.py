"""The witness: a watch that hangs or loses something is found, one that is only idle is not."""

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
    witness = WatchTracker()
    witness.delivered(A, "5")
    for now in (0, 100, 1000):
        assert witness.listed([(A, "5")], witness.known(), now) == []
    assert witness.lag(10_000) == 0


def test_a_version_that_never_came_is_owed_until_it_comes() -> None:
    witness = WatchTracker()
    witness.delivered(A, "5")
    assert witness.listed([(A, "6")], witness.known(), 10) == [A]
    assert witness.listed([(A, "9")], witness.known(), 40) == [A]
    assert witness.lag(70) == 60
    witness.delivered(A, "8")
    assert witness.lag(70) == 60
    witness.delivered(A, "9")
    assert witness.lag(70) == 0


def test_what_the_watch_knew_before_the_list_is_no_debt() -> None:
    witness = WatchTracker()
    witness.delivered(A, "7")
    assert witness.listed([(A, "6")], witness.known(), 0) == []


def test_a_ghost_is_looked_at_once_and_forgotten() -> None:
    witness = WatchTracker()
    witness.delivered(A, "5")
    assert witness.listed([], witness.known(), 0) == [A]
    assert witness.listed([], witness.known(), 30) == []
    assert witness.lag(1000) == 0


def test_what_appears_during_the_list_is_not_taken_for_a_ghost() -> None:
    witness = WatchTracker()
    known = witness.known()
    witness.delivered(B, "9")
    assert witness.listed([], known, 0) == []
    assert witness.listed([(B, "9")], witness.known(), 30) == []


def test_what_is_deleted_during_the_list_is_not_owed_for_long() -> None:
    witness = WatchTracker()
    witness.delivered(A, "5")
    known = witness.known()
    witness.gone(A)
    assert witness.listed([(A, "5")], known, 0) == [A]
    witness.listed([], witness.known(), 30)
    assert witness.lag(31) == 0


async def test_the_audit_looks_at_what_was_missed_and_at_everything_now_and_then() -> None:
    kube, clock, witness = FakeKube(), FakeClock(), WatchTracker()
    added: list[Key] = []
    later: list[Key] = []
    audit = Resync(
        cast(Kube, kube),
        clock,
        witness,
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
    witness.delivered(A, "1")
    await audit.once()
    assert added == [B]
    assert later == [A, B]
    witness.delivered(B, "2")
    clock.at += 30
    await audit.once()
    assert (added, later) == ([B], [A, B])
    clock.at += 300
    await audit.once()
    assert later == [A, B, A, B]
