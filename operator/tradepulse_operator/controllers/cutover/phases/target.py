"""The target's pod: which one it is, and how long it is waited for."""

from __future__ import annotations

from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.cutover.phases.rolling_back import roll_back
from tradepulse_operator.controllers.cutover.status import POLL, entered_at, wait_with_message
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView
from tradepulse_operator.controllers.step import Step

#: Restarts while it starts that count as a crash: it never came up.
_CRASHED = CutoverReason.CRASHED


def target_pod(observed: CutoverObserved) -> PodView | None:
    pod, target = observed.pod, observed.cutover.status.target
    return pod if pod and target and pod.release == target.id and not pod.deleting else None


def until_ready(observed: CutoverObserved, pod: PodView | None, message: str) -> Step:
    """Wait for `pod` until switchDeadline, unless it shows that it won't come."""
    cutover = observed.cutover
    if pod and pod.waiting:
        return roll_back(observed, pod.waiting, f"the new release can't start: {pod.waiting}")
    if pod and (pod.restarts > 0 or pod.phase == "Failed"):
        return roll_back(observed, _CRASHED, "the new release crashed while it started")
    left = entered_at(cutover.status) + seconds(cutover.spec.switch_deadline) - observed.now
    if left <= 0:
        late = f"not ready within switchDeadline, {cutover.spec.switch_deadline}"
        return roll_back(observed, CutoverReason.NOT_READY, late)
    return wait_with_message(observed, message, min(POLL, left))
