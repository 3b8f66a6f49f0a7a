"""Kubernetes Events, derived from what the status records: nothing else is reported."""

from __future__ import annotations

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import PhaseRecord
from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.api.phases import facts
from tradepulse_operator.api.reasons import ConditionType, RunnerReason
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillResult, LastDrill
from tradepulse_operator.common.time import timestamp

from .conditions import find_condition
from .step import Event

NORMAL = "Normal"
WARNING = "Warning"

#: Conditions that are bad when True.
_BAD_CONDITIONS = {
    ConditionType.STALLED,
    ConditionType.KILL_SWITCH,
    ConditionType.RELEASE_DRIFT,
    ConditionType.IMAGE_MOVED,
}
#: Conditions that are bad when False.
_GOOD_CONDITIONS = {
    ConditionType.MONITORED,
    ConditionType.DRILL_CURRENT,
    ConditionType.DRAINED,
    ConditionType.STREAMS_INTACT,
}


def cutover_events(cutover: ReleaseCutover) -> list[Event]:
    """One event per phase that was entered, oldest first; one more where a release was ended before
    it had drained, and one where event bus or database differ in the end."""
    events = [_phase(number, record) for number, record in enumerate(cutover.status.phases)]
    kinds = (ConditionType.DRAINED, ConditionType.STREAMS_INTACT)
    conditions = (find_condition(cutover.status.conditions, kind) for kind in kinds)
    bad = [each for each in conditions if each and each.status is ConditionStatus.FALSE]
    return [*events, *map(transition, bad)]


def not_understood(problem: str, generation: int, now: float) -> Event:
    """The event for an object that can't be parsed, whose status therefore can't state it."""
    return Event(
        key=f"not-understood/{generation}",
        type=WARNING,
        reason=RunnerReason.NOT_UNDERSTOOD,
        message=problem,
        at=timestamp(now),
    )


def runner_events(runner: TradingRunner) -> list[Event]:
    """One event per condition, for its last transition, and one for the last drill."""
    events = [transition(condition) for condition in runner.status.conditions]
    last = runner.status.last_drill
    return [*events, _drilled(last)] if last else events


def _phase(number: int, record: PhaseRecord) -> Event:
    bad = facts(record.phase).bad
    return Event(
        key=f"phase/{number}/{record.phase}/{record.at}",
        type=WARNING if bad else NORMAL,
        reason=record.phase.value,
        message=record.message or f"entered {record.phase}",
        at=record.at,
    )


def _drilled(last: LastDrill) -> Event:
    passed = last.result is DrillResult.PASSED
    return Event(
        key=f"drill/{last.scheduled_for}",
        type=NORMAL if passed else WARNING,
        reason=RunnerReason.DRILL_PASSED if passed else RunnerReason.DRILL_FAILED,
        message=f"{last.target} drill of the kill switch, due {last.scheduled_for}: {last.message}",
        at=last.at,
    )


def transition(condition: Condition) -> Event:
    """The event for the last transition of a condition."""
    kind, status = condition.type, condition.status
    bad = (kind in _BAD_CONDITIONS and status is ConditionStatus.TRUE) or (
        kind in _GOOD_CONDITIONS and status is ConditionStatus.FALSE
    )
    return Event(
        key=f"condition/{kind}/{status}/{condition.last_transition_time}",
        type=WARNING if bad else NORMAL,
        reason=condition.reason,
        # Two conditions may have the same reason: their type distinguishes the events.
        message=f"{kind} is {status}: {condition.message or condition.reason}",
        at=condition.last_transition_time,
    )
