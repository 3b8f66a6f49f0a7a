"""The source has to meet the same limits before the rollback counts as done."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStatus
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.cutover.baseline import remaining_degradation
from tradepulse_operator.controllers.cutover.phases.ends import end_halted
from tradepulse_operator.controllers.cutover.phases.restored import unproven
from tradepulse_operator.controllers.cutover.phases.source import (
    source_pod,
    until_deadline,
    would_start_source,
)
from tradepulse_operator.controllers.cutover.status import enter_phase, entered_at, wait_reason
from tradepulse_operator.controllers.cutover.watch import (
    checkpoint_overdue,
    describe,
    from_status,
    to_status,
    verify_limits,
)
from tradepulse_operator.controllers.data_services.compare import difference_note, record_comparison
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step, Wait
from tradepulse_operator.guard.bake import (
    BakeProgress,
    Checkpoint,
    Decision,
    advance,
    next_evaluation,
)
from tradepulse_operator.guard.limits import Limits


def verifying(observed: CutoverObserved) -> Step:
    """The source has to meet the same limits before the rollback counts as done."""
    cutover, runner, pod = observed.cutover, observed.runner, source_pod(observed)
    source, rollback = cutover.status.source, cutover.status.rollback
    if source is None or rollback is None or runner is None or observed.recording is None:
        return Wait("waits for samples", seconds(cutover.spec.guardrails.interval))
    if pod and pod.image_id and source.image_id not in (None, pod.image_id):
        message = f"{source.image} is now {pod.image_id}, it was {source.image_id}"
        return end_halted(observed, CutoverReason.IMAGE_CHANGED, message)
    thresholds = verify_limits(cutover, runner)
    before = from_status(cutover.status.verification, entered_at(cutover.status))
    progress = advance(before, observed.recording, observed.now, thresholds)
    if progress.decision is Decision.ROLLBACK and progress.verdict:
        broken = progress.verdict.decisive
        message = f"{broken.guardrail}: {broken.message}"
        return end_halted(
            observed, broken.reason, message, verification=to_status(progress.checkpoint)
        )
    ready = bool(pod and pod.ready and would_start_source(observed))
    if progress.decision is Decision.PROMOTE and ready:
        checked = record_comparison(observed)
        worse = (
            remaining_degradation(cutover, progress.checkpoint.tally)
            + difference_note(checked)
            + unproven(checked)
        )
        return enter_phase(
            checked,
            CutoverPhase.ROLLED_BACK,
            f"release {source.id} is back and verified{worse}; {rollback.message}",
            reason=rollback.reason,
            verification=to_status(progress.checkpoint),
        )
    return _watching(observed, rollback, before, progress, thresholds)


def _watching(
    observed: CutoverObserved,
    rollback: RollbackStatus,
    before: Checkpoint,
    progress: BakeProgress,
    thresholds: Limits,
) -> Step:
    source = observed.cutover.status.source
    if progress.decision is Decision.PROMOTE:
        message = "verified; waits for its pod and its StatefulSet to be ready"
        return until_deadline(observed, rollback, message)
    changes: dict[str, Any] = {}
    reason, message = wait_reason(observed.cutover.status), observed.cutover.status.message
    if progress.verdict:
        reason, message = describe(progress.verdict, source.id if source else "")
    delay = next_evaluation(progress.checkpoint, observed.now, thresholds)
    if checkpoint_overdue(before, progress.checkpoint):
        changes["verification"] = to_status(progress.checkpoint)
    return until_deadline(observed, rollback, message, seconds=delay, reason=reason, **changes)
