"""Events become keys; nothing else."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.manager import handlers
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.key import Key
from tradepulse_operator.manager.watch_tracker import WatchTracker

RUNNER = keys.runner("ns", "btc")
CUTOVER = keys.cutover("ns", "btc-1")


def event(kind: str, **body: Any) -> dict[str, Any]:
    meta = {"name": "btc", "namespace": "ns", "resourceVersion": "7", **body.pop("metadata", {})}
    return {"type": kind, "object": {"metadata": meta, **body}}


def edge() -> tuple[handlers.EventRouter, list[Key], WatchTracker]:
    seen: list[Key] = []
    tracker = WatchTracker()
    return handlers.EventRouter(seen.append, tracker), seen, tracker


def test_a_runner_wakes_itself_and_its_claimed_cutover() -> None:
    it, seen, tracker = edge()
    it.runner(event("MODIFIED", status={"cutover": "btc-1"}))
    assert seen == [RUNNER, CUTOVER]
    assert tracker.known() == {RUNNER}


def test_a_pod_wakes_its_runner_and_what_is_claimed() -> None:
    it, seen, _ = edge()
    pod = event("MODIFIED", metadata={"name": "btc-0", "labels": {"tradepulse.io/runner": "btc"}})
    it.child(pod)
    assert seen == [RUNNER]
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.child(pod)
    assert seen == [RUNNER, CUTOVER]
    it.runner(event("MODIFIED", status={}))
    seen.clear()
    it.child(pod)
    assert seen == [RUNNER]


def test_an_auxiliary_pod_wakes_them_too() -> None:
    it, seen, _ = edge()
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.child(
        event("MODIFIED", metadata={"name": "check-1", "labels": {"tradepulse.io/beside": "btc"}})
    )
    assert seen == [RUNNER, CUTOVER]


def test_a_cutover_wakes_its_runner() -> None:
    it, seen, _ = edge()
    it.cutover(event("ADDED", metadata={"name": "btc-1"}, spec={"runner": "btc"}))
    assert seen == [CUTOVER, RUNNER]


def test_a_deleted_runner_is_looked_at_once_more() -> None:
    it, seen, tracker = edge()
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.runner(event("DELETED", status={"cutover": "btc-1"}))
    assert seen == [RUNNER]
    assert tracker.known() == frozenset()


def test_foreign_objects_wake_nobody() -> None:
    it, seen, _ = edge()
    it.child(event("ADDED", metadata={"labels": None}))
    assert seen == []
