"""A rollback: halt, collect the evidence, stop, and start the previous release.

The evidence of a halt that lasts, or that a frozen process doesn't answer, is collected meanwhile.

Nothing auxiliary can block it: each step but the last has a limit after which it goes on. What
can't be finished by `rollback.deadline` ends Halted; there is no rollback of a rollback.
"""

from __future__ import annotations

from typing import Any, assert_never

from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStatus, RollbackStep
from tradepulse_operator.api.phases import Limit
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.cutover.drained import drained_reason, undrained
from tradepulse_operator.controllers.cutover.phases.ends import end_halted, report_record
from tradepulse_operator.controllers.cutover.phases.restored import proven, unrestored
from tradepulse_operator.controllers.cutover.phases.source import (
    source_pod,
    until_deadline,
    would_start_source,
)
from tradepulse_operator.controllers.cutover.status import (
    POLL,
    cutover_ref,
    enter_phase,
    wait_with_message,
    write_status,
)
from tradepulse_operator.controllers.cutover.watch import describe, to_status
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView
from tradepulse_operator.controllers.step import FileReport, Step
from tradepulse_operator.guard.bake import begin

#: Seconds after which the evidence is given up: a failing API must not keep a bad release.
PATIENCE = seconds(Limit.EVIDENCE)


#: Seconds that a halt may take before the evidence is collected meanwhile, so that it is filed
#: within 10 s of the verdict: these, a reconciliation (2 s where a process is frozen), and
#: the reporter's 5.
HALT_FIRST = 2.5


#: Seconds of the halt after which no evidence is requested from a failing API: noticing the end
#: of the halt matters more.
_COLLECT_DURING_HALT = 10.0


def roll_back(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
    """The rollback is decided. Only written here: what follows is derived from it."""
    at = timestamp(observed.now)
    rollback = RollbackStatus(
        step=RollbackStep.HALTING, step_at=at, started_at=at, reason=reason, message=message
    )
    return enter_phase(
        observed, CutoverPhase.ROLLING_BACK, message, reason=reason, rollback=rollback, **changes
    )


def rolling_back(observed: CutoverObserved) -> Step:
    """One step of a rollback."""
    rollback = observed.cutover.status.rollback
    if rollback is None:
        # Only a status that someone else wrote: what is known is that it goes back.
        return roll_back(observed, CutoverReason.UNKNOWN, "the status records no reason")
    match rollback.step:
        case RollbackStep.HALTING:
            return _halting(observed, rollback)
        case RollbackStep.COLLECTING_EVIDENCE:
            return _collecting(observed, rollback)
        case RollbackStep.STOPPING:
            return _stopping(observed, rollback)
        case RollbackStep.STARTING:
            return _starting(observed, rollback)
        case _:
            assert_never(rollback.step)


def _halting(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """The target stops sending, cancels and drains, as far as it still can."""
    limit = seconds(observed.cutover.spec.halt_deadline)
    left = instant(rollback.step_at) + limit - observed.now
    target = observed.cutover.status.target
    if drained_reason(observed, target) or _never_ran(observed.pod):
        return _next(observed, rollback, RollbackStep.COLLECTING_EVIDENCE)
    if left <= 0:
        observed, why = undrained(observed, target)
        undrained_rollback = rollback.model_copy(
            update={"message": f"{rollback.message}; {why}"[:1024]}
        )
        return _next(observed, undrained_rollback, RollbackStep.COLLECTING_EVIDENCE)
    request = _collect_during_halt(observed, rollback)
    if request is not None:
        return request
    message = "waits for the new release to cancel its orders"
    return wait_with_message(observed, message, min(POLL, left), reason=rollback.reason)


def _collect_during_halt(observed: CutoverObserved, rollback: RollbackStatus) -> Step | None:
    """The next request for evidence during a halt that lasts; at once where nobody answers."""
    if observed.report:
        recorded = observed.cutover.status.report is not None
        return None if recorded else write_status(observed, report=report_record(observed))
    took = observed.now - instant(rollback.step_at)
    # Waiting yields no more about a process that doesn't answer.
    due = observed.process is None or took >= HALT_FIRST
    return (
        FileReport(cutover_ref(observed.cutover), final=False)
        if due and took < _COLLECT_DURING_HALT
        else None
    )


def _never_ran(pod: PodView | None) -> bool:
    """Whether no process of this pod can be sending: it can't start, or prepares its state."""
    return pod is not None and (bool(pod.waiting) or pod.init_exit != 0)


def _collecting(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """The evidence is taken while the pod still exists, unless it was taken during the halt."""
    if observed.report:
        report = observed.cutover.status.report or report_record(observed)
        return _next(observed, rollback, RollbackStep.STOPPING, report=report)
    if observed.now - instant(rollback.step_at) > PATIENCE:
        message = f"{rollback.message}; the evidence could not be filed within {PATIENCE:g} s"
        given_up = rollback.model_copy(update={"message": message[:1024]})
        return _next(observed, given_up, RollbackStep.STOPPING)
    return FileReport(cutover_ref(observed.cutover), final=False)


def _stopping(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """Until the target's pod is gone, and no other can be made, nothing else may start."""
    target = observed.cutover.status.target
    pod = observed.pod
    if pod is not None and target is not None and pod.release == target.id:
        message = "waits for the pod of the new release to be gone"
    elif not would_start_source(observed):
        message = "waits for the StatefulSet to turn back to the previous release"
    else:
        return _next(observed, rollback, RollbackStep.STARTING)
    return until_deadline(observed, rollback, message)


def _starting(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """The state is restored and the source starts again."""
    pod = source_pod(observed)
    wrong = unrestored(observed, pod)
    if wrong:
        return end_halted(observed, CutoverReason.NOT_RESTORED, wrong)
    if observed.cutover.spec.rollback.state is StateOnRollback.FREEZE and _frozen(observed, pod):
        message = "the state is frozen and the kill switch engaged, as rollback.state asks"
        return end_halted(observed, CutoverReason.FROZEN, message)
    if pod and pod.ready:
        return enter_phase(
            proven(observed, pod),
            CutoverPhase.VERIFYING,
            describe(None, pod.release)[1],
            reason=CutoverReason.WATCHING,
            verification=to_status(begin(observed.now)),
        )
    if pod and pod.init_exit not in (None, 0):
        message = f"the state container ended with {pod.init_exit}: it is tried again"
    elif pod and pod.waiting:
        message = f"the previous release can't start: {pod.waiting}"
    else:
        message = "waits for the previous release to be ready"
    return until_deadline(observed, rollback, message)


def _frozen(observed: CutoverObserved, pod: PodView | None) -> bool:
    """Also one that is ready although it should be frozen: it trades, and is to be stopped."""
    latched = observed.process is not None and observed.process.kill_switch
    return pod is not None and (pod.ready or latched)


def _next(
    observed: CutoverObserved, rollback: RollbackStatus, step: RollbackStep, **changes: Any
) -> Step:
    at = timestamp(observed.now)
    changed: dict[str, Any] = {"step": step, "step_at": at}
    if step is RollbackStep.STARTING:
        # The pod of the target is gone: nothing that it left on the volume can contain this.
        changed["nonce"] = observed.nonce
    changes["rollback"] = rollback.model_copy(update=changed)
    return wait_with_message(observed, _message(step), reason=rollback.reason, **changes)


def _message(step: RollbackStep) -> str:
    match step:
        case RollbackStep.HALTING:
            return "the new release cancels its orders and drains"
        case RollbackStep.COLLECTING_EVIDENCE:
            return "the evidence is collected"
        case RollbackStep.STOPPING:
            return "the new release is stopped"
        case RollbackStep.STARTING:
            return "the previous release is started"
        case _:
            assert_never(step)
