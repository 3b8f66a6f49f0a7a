"""A release that is ended before it has drained doesn't look like one that was halted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.operator.cutovers import (
    DRAINED,
    NOW,
    PHASE,
    SOURCE,
    TARGET,
    TRADING,
    cutover,
    pod,
    rollback,
    seen,
    status,
    written,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import ReleaseCutoverStatus, RollbackStep
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.controllers.events import cutover_events
from tradepulse_operator.controllers.observed.views import ProcessView

LATE = 61.0
RESTING = replace(DRAINED, halt_complete=False, open_orders=3, unknown_orders=1)
SILENT = "doesn't answer, and orders of it may rest"
FOREIGN = "never took the order to halt, and may have traded on"
PROCESSES = [(None, SILENT), (TRADING, FOREIGN), (RESTING, "3 of its orders rest")]


def told(found: ReleaseCutoverStatus, release: str, words: str) -> ReleaseCutover:
    """The condition says it, and an event tells it."""
    condition = find_condition(found.conditions, "Drained")
    assert condition is not None
    assert condition.status is ConditionStatus.FALSE
    assert condition.reason == "HaltDeadlinePassed"
    assert f"release {release} is ended by SIGTERM" in condition.message
    assert words in condition.message
    moved = cutover(found)
    (event,) = [each for each in cutover_events(moved) if each.reason == "HaltDeadlinePassed"]
    assert event.type == "Warning"
    assert words in event.message
    return moved


@pytest.mark.parametrize(("process", "words"), PROCESSES)
def test_of_the_source(process: ProcessView | None, words: str) -> None:
    assert SOURCE is not None
    halting = cutover(status(PHASE.HALTING, LATE))
    after = written(decide(seen(halting, pod=pod(SOURCE), process=process)))
    assert after.phase is PHASE.BACKING_UP
    assert words in after.message
    told(after, SOURCE.id, words)


@pytest.mark.parametrize(("process", "words"), PROCESSES)
def test_of_the_target(process: ProcessView | None, words: str) -> None:
    going = status(PHASE.ROLLING_BACK, LATE, rollback=rollback(RollbackStep.HALTING, LATE))
    after = written(decide(seen(cutover(going), pod=pod(), process=process, report="evidence")))
    assert after.rollback is not None
    assert after.rollback.step is RollbackStep.COLLECTING_EVIDENCE
    assert words in after.rollback.message
    assert after.rollback.message.startswith("too many; ")
    told(after, TARGET.id, words)


def test_of_both_is_reported_twice() -> None:
    halting = cutover(status(PHASE.HALTING, LATE))
    first = written(decide(seen(halting, pod=pod(SOURCE), process=None)))
    before = {event.key for event in cutover_events(cutover(first))}
    going = status(
        PHASE.ROLLING_BACK,
        LATE,
        rollback=rollback(RollbackStep.HALTING, LATE),
        conditions=first.conditions,
    )
    later = replace(
        seen(cutover(going), pod=pod(), process=TRADING, report="evidence"), now=NOW + 100
    )
    keys = [event.key for event in cutover_events(cutover(written(decide(later))))]
    (second,) = [key for key in keys if "Drained" in key]
    assert second not in before
    assert timestamp(NOW + 100) in second


@pytest.mark.parametrize("process", [DRAINED])
def test_nothing_is_said_of_one_that_drained(process: ProcessView) -> None:
    halting = cutover(status(PHASE.HALTING, LATE))
    after = written(decide(seen(halting, pod=pod(SOURCE), process=process)))
    assert find_condition(after.conditions, "Drained") is None
