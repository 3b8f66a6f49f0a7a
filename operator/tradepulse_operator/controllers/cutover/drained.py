"""The condition of a release that is ended before it has drained.

Halting first is an order, and a process that is frozen, or whose image doesn't know the order,
doesn't follow it. It is ended all the same once haltDeadline has passed: that must not count as a
halt.
"""

from __future__ import annotations

from dataclasses import replace

from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.reasons import ConditionType, CutoverReason
from tradepulse_operator.api.release import Release
from tradepulse_operator.controllers.conditions import drop_condition, set_condition
from tradepulse_operator.controllers.observed.views import CutoverObserved


def undrained(observed: CutoverObserved, release: Release | None) -> tuple[CutoverObserved, str]:
    """The cutover with the condition that `release` is ended undrained, and the message of it."""
    name = release.id if release else "unknown"
    message = f"haltDeadline passed and release {name} is ended by SIGTERM: {_why(observed)}"
    cutover = observed.cutover
    conditions = set_condition(
        # An earlier release's is another transition.
        drop_condition(cutover.status.conditions, ConditionType.DRAINED),
        ConditionType.DRAINED,
        ConditionStatus.FALSE,
        CutoverReason.HALT_DEADLINE_PASSED,
        message,
        now=observed.now,
        generation=cutover.metadata.generation,
    )
    status = cutover.status.model_copy(update={"conditions": conditions})
    return replace(observed, cutover=cutover.model_copy(update={"status": status})), message


def _why(observed: CutoverObserved) -> str:
    process = observed.process
    if process is None:
        return "its process doesn't answer, and orders of it may rest at the venues"
    if process.halt_token != observed.cutover.metadata.uid:
        return "its process never took the order to halt, and may have traded on"
    return (
        f"{process.open_orders} of its orders rest at the venues, of {process.unknown_orders} the"
        " outcome is unknown"
    )


def drained_reason(observed: CutoverObserved, release: Release | None) -> str:
    """Why the process of `release` sends no more orders; "" while it may."""
    pod, process = observed.pod, observed.process
    if pod is None or release is None or pod.release != release.id:
        return "its pod is gone"
    if pod.phase in {"Failed", "Succeeded"}:
        return "its process has ended"
    uid = observed.cutover.metadata.uid
    if process and process.halt_token == uid and process.halt_complete:
        return "its orders are cancelled and drained"
    return ""
