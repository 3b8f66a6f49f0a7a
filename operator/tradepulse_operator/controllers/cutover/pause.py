"""A suspended runner has no pod: its cutover pauses, and its clocks begin anew when it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.checklist.preconditions import require_running
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step
from tradepulse_operator.guard.bake import begin

from .status import PAUSED, POLL, enter_phase, wait_reason, wait_with_message
from .watch import from_status, to_status


def paused(observed: CutoverObserved) -> Step | None:
    """The pause, or its end; None when the runner runs."""
    why = require_running(observed)
    status = observed.cutover.status
    if why:
        message = "pauses: the runner is suspended or being deleted"
        return wait_with_message(observed, message, 10 * POLL, reason=PAUSED)
    if wait_reason(status) == PAUSED and status.phase:
        return enter_phase(observed, status.phase, "goes on", **_clocks(observed, status.phase))
    return None


def _clocks(observed: CutoverObserved, phase: CutoverPhase) -> dict[str, Any]:
    """Deadlines begin now, and so does the watch; verified seconds stay verified."""
    status, at = observed.cutover.status, timestamp(observed.now)
    changes: dict[str, Any] = {}
    if status.rollback:
        changes["rollback"] = status.rollback.model_copy(update={"step_at": at, "started_at": at})
    if phase is CutoverPhase.BAKING:
        old = from_status(status.bake, observed.now)
        now = begin(observed.now)
        changes["bake"] = to_status(replace(now, verified_seconds=old.verified_seconds))
    if phase is CutoverPhase.VERIFYING:
        changes["verification"] = to_status(begin(observed.now))
    return changes
