"""How a cutover's status changes: a phase is entered, or the wait in it is reported.

Every change is a whole status, guarded by resourceVersion. A wait is written only when its
message changes, so a cutover that waits costs no writes.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase, PhaseRecord, ReleaseCutoverStatus
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.phases import End, Limit, allowed, current, facts
from tradepulse_operator.api.reasons import ConditionType, CutoverReason
from tradepulse_operator.api.units import LONGEST_MESSAGE
from tradepulse_operator.common.names import API_VERSION
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.conditions import (
    Conditions,
    drop_condition,
    find_condition,
    set_condition,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step, Wait, WriteStatus

READY, RECONCILING, STALLED = ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED
#: Reason of Reconciling while the runner is suspended.
PAUSED = CutoverReason.PAUSED
_MOST_PHASES = 64
#: Seconds between two reconciliations; most changes come as an event before that.
POLL = 1.0


def cutover_ref(cutover: ReleaseCutover) -> Ref:
    """The cutover in the API."""
    meta = cutover.metadata
    return Ref(API_VERSION, ReleaseCutover.KIND, meta.namespace, meta.name)


def entered_at(status: ReleaseCutoverStatus) -> float:
    """When the present phase was entered, unix seconds."""
    return instant(status.phases[-1].at) if status.phases else 0.0


def wait_reason(status: ReleaseCutoverStatus) -> str:
    """Reason of the present wait."""
    condition = find_condition(status.conditions, RECONCILING)
    return condition.reason if condition else ""


def expected_end(cutover: ReleaseCutover) -> float | None:
    """When the present phase, or the step of its rollback, is over at the latest, unix seconds.

    None: there is no such time, because people or evidence are waited for, or a suspended runner.
    """
    status = cutover.status
    limit = current(status).expected_within
    if limit is None or wait_reason(status) == PAUSED:
        return None
    rollback = status.rollback
    if rollback is None:
        began = entered_at(status)
    else:
        began = instant(rollback.started_at if limit is Limit.ROLLBACK else rollback.step_at)
    return began + allowed(limit, cutover.spec)


def write_status(observed: CutoverObserved, **changes: Any) -> WriteStatus:
    """The status with `changes` (field → value)."""
    cutover = observed.cutover
    status = cutover.status.model_copy(
        update={"observed_generation": cutover.metadata.generation, **changes}
    )
    return WriteStatus(cutover_ref(cutover), cutover.metadata.resource_version, status.wire())


def enter_phase(
    observed: CutoverObserved,
    phase: CutoverPhase,
    message: str,
    *,
    reason: str = "",
    **changes: Any,
) -> WriteStatus:
    """`phase` begins now. `reason`: CamelCase, the phase's name when left out."""
    status, at = observed.cutover.status, timestamp(observed.now)
    record = PhaseRecord(phase=phase, at=at, message=message)
    return write_status(
        observed,
        phase=phase,
        message=message[:LONGEST_MESSAGE],
        phases=(*status.phases, record)[-_MOST_PHASES:],
        conditions=_conditions(observed, phase, reason or phase.value, message),
        started_at=status.started_at or at,
        finished_at=at if facts(phase).final else None,
        **changes,
    )


def wait_with_message(
    observed: CutoverObserved,
    message: str,
    seconds: float | None = POLL,
    *,
    reason: str = "",
    **changes: Any,
) -> Step:
    """Wait with `message`; write that first if it differs from the status.

    `seconds`: to the next reconciliation; None: at the next event.

    `message` must not contain values that change at each reconciliation. `changes` are always
    written.
    """
    cutover, status = observed.cutover, observed.cutover.status
    phase = status.phase or CutoverPhase.PENDING
    reason = reason or phase.value
    same = (status.message, wait_reason(status)) == (message[:LONGEST_MESSAGE], reason)
    if same and not changes and status.observed_generation == cutover.metadata.generation:
        return Wait(message, None if seconds is None else max(0.0, seconds))
    return write_status(
        observed,
        message=message[:LONGEST_MESSAGE],
        conditions=_conditions(observed, phase, reason, message),
        **changes,
    )


def _conditions(
    observed: CutoverObserved, phase: CutoverPhase, reason: str, message: str
) -> Conditions:
    """kstatus: Ready always, Reconciling while in progress, Stalled after a bad end; never both."""
    result = observed.cutover.status.conditions
    generation = observed.cutover.metadata.generation

    def put(conditions: Conditions, kind: str, status: ConditionStatus) -> Conditions:
        return set_condition(
            conditions, kind, status, reason, message, now=observed.now, generation=generation
        )

    meant = facts(phase)
    good = meant.end is End.GOOD
    result = put(result, READY, ConditionStatus.TRUE if good else ConditionStatus.FALSE)
    for kind, present in ((RECONCILING, not meant.final), (STALLED, meant.stalled)):
        result = (
            put(result, kind, ConditionStatus.TRUE) if present else drop_condition(result, kind)
        )
    return result
