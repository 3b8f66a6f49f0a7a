"""The source's pod during a rollback, and how long it is waited for."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover_status import RollbackStatus
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import LABEL_RELEASE
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.cutover.phases.ends import end_halted
from tradepulse_operator.controllers.cutover.status import POLL, wait_with_message
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView
from tradepulse_operator.controllers.step import Step


def would_start_source(observed: CutoverObserved) -> bool:
    """Whether a pod that is lost now would come back as the source, and not as the target.

    The StatefulSet's controller goes by the template that it has observed last.
    """
    live, source = observed.stateful_set, observed.cutover.status.source
    if live is None or source is None:
        return False
    generation = (live.get("status") or {}).get("observedGeneration", 0)
    labels = live["spec"]["template"]["metadata"].get("labels") or {}
    return labels.get(LABEL_RELEASE) == source.id and generation >= live["metadata"].get(
        "generation", 0
    )


def source_pod(observed: CutoverObserved) -> PodView | None:
    pod, source = observed.pod, observed.cutover.status.source
    return pod if pod and source and pod.release == source.id and not pod.deleting else None


def until_deadline(
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
        return end_halted(
            observed, CutoverReason.NOT_VERIFIED, f"not done within rollback.deadline: {message}"
        )
    return wait_with_message(
        observed, message, min(seconds, left), reason=reason or rollback.reason, **changes
    )


def _deadline(observed: CutoverObserved, rollback: RollbackStatus) -> float:
    return instant(rollback.started_at) + seconds(observed.cutover.spec.rollback.deadline)
