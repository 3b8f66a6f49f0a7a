"""The guard watches the target."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.cutover.phases.rolling_back import roll_back
from tradepulse_operator.controllers.cutover.phases.target import target_pod
from tradepulse_operator.controllers.cutover.status import (
    enter_phase,
    entered_at,
    wait_with_message,
)
from tradepulse_operator.controllers.cutover.watch import (
    bake_limits,
    checkpoint_due,
    describe,
    from_status,
    record,
    to_status,
)
from tradepulse_operator.controllers.data_services.compare import (
    difference_note,
    reconfigured,
    record_comparison,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step, Wait
from tradepulse_operator.guard.bake import BakeProgress, Decision, advance, next_evaluation


def baking(observed: CutoverObserved) -> Step:
    """The guard watches the target. Its verdict is persisted before anything follows from it."""
    cutover, runner, pod = observed.cutover, observed.runner, target_pod(observed)
    if runner is None or observed.recording is None:
        return Wait("waits for samples", seconds(cutover.spec.guardrails.interval))
    if pod and pod.waiting:
        return roll_back(observed, pod.waiting, f"the new release can't run: {pod.waiting}")
    thresholds = bake_limits(cutover, runner)
    before = from_status(cutover.status.bake, entered_at(cutover.status))
    progress = advance(before, observed.recording, observed.now, thresholds)
    if progress.decision is not Decision.CONTINUE:
        return _decided(observed, progress)
    changes: dict[str, Any] = {}
    if checkpoint_due(before, progress.checkpoint, thresholds) or _verdict_changed(
        observed, progress
    ):
        changes["bake"] = to_status(progress.checkpoint)
        if progress.verdict:
            changes["verdict"] = record(progress.verdict)
    target = cutover.status.target
    reason, message = describe(progress.verdict, target.id if target else "")
    if progress.verdict is None and not changes:
        return Wait(message, next_evaluation(progress.checkpoint, observed.now, thresholds))
    delay = next_evaluation(progress.checkpoint, observed.now, thresholds)
    return wait_with_message(observed, message, delay, reason=reason, **changes)


def _verdict_changed(observed: CutoverObserved, progress: BakeProgress) -> bool:
    """Whether the verdict is another than the one that the status records."""
    recorded, verdict = observed.cutover.status.verdict, progress.verdict
    if verdict is None:
        return False
    decisive = verdict.decisive
    return recorded is None or (recorded.verdict, recorded.guardrail) != (
        decisive.kind,
        decisive.guardrail,
    )


def _decided(observed: CutoverObserved, progress: BakeProgress) -> Step:
    verdict, spec = progress.verdict, observed.cutover.spec
    changes: dict[str, Any] = {"bake": to_status(progress.checkpoint)}
    if verdict:
        changes["verdict"] = record(verdict)
    if progress.decision is Decision.PROMOTE:
        compared = record_comparison(observed, config_changed=reconfigured(observed.cutover))
        message = f"verified as good for {progress.checkpoint.verified_seconds:g} s"
        return enter_phase(
            compared, CutoverPhase.SUCCEEDED, message + difference_note(compared), **changes
        )
    if progress.decision is Decision.INCONCLUSIVE or verdict is None:
        message = f"the guard had no evidence for {spec.switch_deadline} (onInconclusive)"
        return roll_back(observed, CutoverReason.INCONCLUSIVE, message, **changes)
    decisive = verdict.decisive
    message = f"{decisive.guardrail}: {decisive.message}"
    return roll_back(observed, decisive.reason, message, **changes)
