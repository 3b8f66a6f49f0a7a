"""The way back: halt, collect the evidence, stop, start the release of before, and verify it.

A halt that lasts, or that a frozen process doesn't answer, has its evidence collected beside it.

Nothing auxiliary can block it: each step but the last has a limit after which it goes on. What
can't be finished by `rollback.deadline` ends Halted; there is no rollback of a rollback.
"""

from __future__ import annotations

from typing import Any, assert_never

from tradepulse_operator.api.cutover_status import (
    CutoverPhase,
    ReportRecord,
    RollbackStatus,
    RollbackStep,
)
from tradepulse_operator.api.phases import Limit
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import INCIDENTS_DIR, LABEL_RELEASE, incident_name
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.cutover.baseline import still_worse
from tradepulse_operator.controllers.cutover.drained import undrained
from tradepulse_operator.controllers.cutover.status import (
    POLL,
    enter,
    entered,
    ref,
    say,
    waits_for,
    write,
)
from tradepulse_operator.controllers.cutover.watch import (
    checkpoint,
    in_words,
    overdue,
    stored,
    verify_limits,
)
from tradepulse_operator.controllers.data_services.compare import compared, differing
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView
from tradepulse_operator.controllers.step import FileReport, Step, Wait
from tradepulse_operator.guard.bake import (
    BakeProgress,
    Checkpoint,
    Decision,
    advance,
    begin,
    next_look,
)
from tradepulse_operator.guard.limits import Limits

from .restored import proven, unproven, unrestored

#: Seconds after which the evidence is given up: a failing API must not keep a bad release.
PATIENCE = seconds(Limit.EVIDENCE)
#: Seconds that a halt may take before the evidence is collected beside it, so that it is filed
#: within 10 s of the verdict: these, a look (2 s where a process is frozen), the reporter's 5.
HALT_FIRST = 2.5
#: Seconds of the halt after which a failing API is left alone: to tell its end matters more.
_BESIDE = 10.0


def roll_back(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
    """The rollback is decided. Only written here: what follows is derived from it."""
    at = timestamp(observed.now)
    rollback = RollbackStatus(
        step=RollbackStep.HALTING, step_at=at, started_at=at, reason=reason, message=message
    )
    return enter(
        observed, CutoverPhase.ROLLING_BACK, message, reason=reason, rollback=rollback, **changes
    )


def halted(observed: CutoverObserved, release: Release | None) -> str:
    """Why the process of `release` sends no more orders, in words; "" while it may."""
    pod, process = observed.pod, observed.process
    if pod is None or release is None or pod.release != release.id:
        return "its pod is gone"
    if pod.phase in {"Failed", "Succeeded"}:
        return "its process has ended"
    uid = observed.cutover.metadata.uid
    if process and process.halt_token == uid and process.halt_complete:
        return "its orders are cancelled and drained"
    return ""


def rolling_back(observed: CutoverObserved) -> Step:
    """One step of the way back."""
    rollback = observed.cutover.status.rollback
    if rollback is None:
        # Only a status that someone else wrote: what is known is that it goes back.
        return roll_back(observed, CutoverReason.UNKNOWN, "the status told of no reason")
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
    if halted(observed, target) or _never_ran(observed.pod):
        return _next(observed, rollback, RollbackStep.COLLECTING_EVIDENCE)
    if left <= 0:
        observed, why = undrained(observed, target)
        told = rollback.model_copy(update={"message": f"{rollback.message}; {why}"[:1024]})
        return _next(observed, told, RollbackStep.COLLECTING_EVIDENCE)
    beside = _collected_beside(observed, rollback)
    if beside is not None:
        return beside
    message = "waits for the new release to cancel its orders"
    return say(observed, message, min(POLL, left), reason=rollback.reason)


def _collected_beside(observed: CutoverObserved, rollback: RollbackStatus) -> Step | None:
    """The next request for evidence of a halt that lasts, or that nobody answers; None: none."""
    if observed.report:
        told = observed.cutover.status.report is not None
        return None if told else write(observed, report=_report(observed))
    took = observed.now - instant(rollback.step_at)
    # What a process that says nothing does is not known better for waiting.
    due = observed.process is None or took >= HALT_FIRST
    return FileReport(ref(observed.cutover), final=False) if due and took < _BESIDE else None


def _never_ran(pod: PodView | None) -> bool:
    """Whether no process of this pod can be sending: it can't start, or prepares its state."""
    return pod is not None and (bool(pod.waiting) or pod.init_exit != 0)


def _collecting(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """The evidence is taken while the pod still exists, unless it was taken beside the halt."""
    if observed.report:
        report = observed.cutover.status.report or _report(observed)
        return _next(observed, rollback, RollbackStep.STOPPING, report=report)
    if observed.now - instant(rollback.step_at) > PATIENCE:
        message = f"{rollback.message}; the evidence could not be filed within {PATIENCE:g} s"
        told = rollback.model_copy(update={"message": message[:1024]})
        return _next(observed, told, RollbackStep.STOPPING)
    return FileReport(ref(observed.cutover), final=False)


def _stopping(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """Until the target's pod is gone, and no other can be made, nothing else may start."""
    target = observed.cutover.status.target
    pod = observed.pod
    if pod is not None and target is not None and pod.release == target.id:
        message = "waits for the pod of the new release to be gone"
    elif not _would_start_source(observed):
        message = "waits for the StatefulSet to turn back to the previous release"
    else:
        return _next(observed, rollback, RollbackStep.STARTING)
    return _until_deadline(observed, rollback, message)


def _would_start_source(observed: CutoverObserved) -> bool:
    """Whether a pod that is lost now would come back as the source, and not as the target.

    The StatefulSet's controller goes by the template that it has seen last.
    """
    live, source = observed.stateful_set, observed.cutover.status.source
    if live is None or source is None:
        return False
    seen = (live.get("status") or {}).get("observedGeneration", 0)
    labels = live["spec"]["template"]["metadata"].get("labels") or {}
    return labels.get(LABEL_RELEASE) == source.id and seen >= live["metadata"].get("generation", 0)


def _starting(observed: CutoverObserved, rollback: RollbackStatus) -> Step:
    """The state is restored and the source starts again."""
    pod = _source_pod(observed)
    wrong = unrestored(observed, pod)
    if wrong:
        return stop(observed, CutoverReason.NOT_RESTORED, wrong)
    if observed.cutover.spec.rollback.state is StateOnRollback.FREEZE and _frozen(observed, pod):
        message = "the state is frozen and the kill switch engaged, as rollback.state asks"
        return stop(observed, CutoverReason.FROZEN, message)
    if pod and pod.ready:
        return enter(
            proven(observed, pod),
            CutoverPhase.VERIFYING,
            in_words(None, pod.release)[1],
            reason=CutoverReason.WATCHING,
            verification=stored(begin(observed.now)),
        )
    if pod and pod.init_exit not in (None, 0):
        message = f"the state container ended with {pod.init_exit}: it is tried again"
    elif pod and pod.waiting:
        message = f"the previous release can't start: {pod.waiting}"
    else:
        message = "waits for the previous release to be ready"
    return _until_deadline(observed, rollback, message)


def _frozen(observed: CutoverObserved, pod: PodView | None) -> bool:
    """Also one that is ready although it should be frozen: it trades, and is to be stopped."""
    latched = observed.process is not None and observed.process.kill_switch
    return pod is not None and (pod.ready or latched)


def verifying(observed: CutoverObserved) -> Step:
    """The source has to meet the same limits before the rollback counts as done."""
    cutover, runner, pod = observed.cutover, observed.runner, _source_pod(observed)
    source, rollback = cutover.status.source, cutover.status.rollback
    if source is None or rollback is None or runner is None or observed.recording is None:
        return Wait("waits for samples", seconds(cutover.spec.guardrails.interval))
    if pod and pod.image_id and source.image_id not in (None, pod.image_id):
        message = f"{source.image} is now {pod.image_id}, it was {source.image_id}"
        return stop(observed, CutoverReason.IMAGE_CHANGED, message)
    held = verify_limits(cutover, runner)
    before = checkpoint(cutover.status.verification, entered(cutover.status))
    progress = advance(before, observed.recording, observed.now, held)
    if progress.decision is Decision.ROLLBACK and progress.verdict:
        broken = progress.verdict.decisive
        message = f"{broken.guardrail}: {broken.message}"
        return stop(observed, broken.reason, message, verification=stored(progress.checkpoint))
    held_up = not (pod and pod.ready and _would_start_source(observed))
    if progress.decision is Decision.PROMOTE and not held_up:
        checked = compared(observed)
        worse = (
            still_worse(cutover, progress.checkpoint.tally) + differing(checked) + unproven(checked)
        )
        return enter(
            checked,
            CutoverPhase.ROLLED_BACK,
            f"release {source.id} is back and verified{worse}; {rollback.message}",
            reason=rollback.reason,
            verification=stored(progress.checkpoint),
        )
    return _watching(observed, rollback, before, progress, held)


def _watching(
    observed: CutoverObserved,
    rollback: RollbackStatus,
    before: Checkpoint,
    progress: BakeProgress,
    held: Limits,
) -> Step:
    source = observed.cutover.status.source
    if progress.decision is Decision.PROMOTE:
        message = "verified; waits for its pod and its StatefulSet to be ready"
        return _until_deadline(observed, rollback, message)
    changes: dict[str, Any] = {}
    reason, message = waits_for(observed.cutover.status), observed.cutover.status.message
    if progress.verdict:
        reason, message = in_words(progress.verdict, source.id if source else "")
    look = next_look(progress.checkpoint, observed.now, held)
    if overdue(before, progress.checkpoint):
        changes["verification"] = stored(progress.checkpoint)
    return _until_deadline(observed, rollback, message, seconds=look, reason=reason, **changes)


def stop(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
    """Nothing trades any more: a person decides."""
    rollback = changes.get("rollback", observed.cutover.status.rollback)
    if rollback is not None and not rollback.nonce:
        changes["rollback"] = rollback.model_copy(update={"nonce": observed.nonce})
    return enter(observed, CutoverPhase.HALTED, f"{reason}: {message}", reason=reason, **changes)


def ended(observed: CutoverObserved) -> Step:
    """After a rollback the report gets its outcome, once."""
    cutover = observed.cutover
    if observed.report != "final":
        return FileReport(ref(cutover), final=True)
    told = cutover.status.report
    if told is None or observed.report_head not in ("", told.head):
        filed = told or _report(observed)
        news = {"head": observed.report_head, "stage": observed.report}
        return write(observed, report=filed.model_copy(update=news))
    return Wait("ended")


def _report(observed: CutoverObserved) -> ReportRecord:
    meta = observed.cutover.metadata
    return ReportRecord(
        config_map=incident_name(meta.name),
        path=f"{INCIDENTS_DIR}/{meta.uid}",
        captured_at=timestamp(observed.now),
        head=observed.report_head,
        stage=observed.report,
    )


def _source_pod(observed: CutoverObserved) -> PodView | None:
    pod, source = observed.pod, observed.cutover.status.source
    return pod if pod and source and pod.release == source.id and not pod.deleting else None


def _next(
    observed: CutoverObserved, rollback: RollbackStatus, step: RollbackStep, **changes: Any
) -> Step:
    at = timestamp(observed.now)
    changed: dict[str, Any] = {"step": step, "step_at": at}
    if step is RollbackStep.STARTING:
        # The pod of the target is gone: nothing that it left on the volume can hold this.
        changed["nonce"] = observed.nonce
    changes["rollback"] = rollback.model_copy(update=changed)
    return say(observed, _message(step), reason=rollback.reason, **changes)


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


def _until_deadline(
    observed: CutoverObserved,
    rollback: RollbackStatus,
    message: str,
    *,
    seconds: float = POLL,
    reason: str = "",
    **changes: Any,
) -> Step:
    left = _deadline(observed, rollback) - observed.now
    if left <= 0:
        return stop(
            observed, CutoverReason.NOT_VERIFIED, f"not done within rollback.deadline: {message}"
        )
    return say(observed, message, min(seconds, left), reason=reason or rollback.reason, **changes)


def _deadline(observed: CutoverObserved, rollback: RollbackStatus) -> float:
    return instant(rollback.started_at) + seconds(observed.cutover.spec.rollback.deadline)
