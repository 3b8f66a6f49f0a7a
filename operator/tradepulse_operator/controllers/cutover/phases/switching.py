"""The target starts and reconciles with the venue."""

from __future__ import annotations

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.controllers.cutover.phases.rolling_back import roll_back
from tradepulse_operator.controllers.cutover.phases.target import target_pod, until_ready
from tradepulse_operator.controllers.cutover.status import enter_phase
from tradepulse_operator.controllers.cutover.watch import to_status
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step
from tradepulse_operator.guard.bake import begin


def switching(observed: CutoverObserved) -> Step:
    """The target starts and reconciles with the venue."""
    pod = target_pod(observed)
    if pod is None or not pod.ready:
        return until_ready(observed, pod, "waits for the new release to be ready")
    target = observed.cutover.status.target
    if target and target.image_id and pod.image_id not in (None, target.image_id):
        message = (
            f"{target.image} is now {pod.image_id}, it was {target.image_id} when it was checked"
        )
        return roll_back(observed, CutoverReason.IMAGE_CHANGED, message)
    if target and pod.image_id:
        target = target.model_copy(update={"image_id": pod.image_id})
    return enter_phase(
        observed,
        CutoverPhase.BAKING,
        f"the new release trades; it bakes for {observed.cutover.spec.bake}",
        reason=CutoverReason.WATCHING,
        target=target,
        bake=to_status(begin(observed.now)),
    )
