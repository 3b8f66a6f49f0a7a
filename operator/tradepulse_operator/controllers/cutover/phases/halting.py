"""The source stops sending, cancels and drains."""

from __future__ import annotations

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.checklist.preconditions import require_running
from tradepulse_operator.controllers.cutover.drained import drained_reason, undrained
from tradepulse_operator.controllers.cutover.phases.ends import aborted_before_switch, end_failed
from tradepulse_operator.controllers.cutover.status import (
    POLL,
    enter_phase,
    entered_at,
    wait_with_message,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step


def halting(observed: CutoverObserved) -> Step:
    """The source stops sending, cancels and drains; it may still go on as if nothing had been."""
    if observed.cutover.spec.abort:
        return aborted_before_switch(observed)
    refused = require_running(observed)
    if refused:
        return end_failed(observed, refused.reason, refused.message)
    cutover = observed.cutover
    why = drained_reason(observed, cutover.status.source)
    left = entered_at(cutover.status) + seconds(cutover.spec.halt_deadline) - observed.now
    if not why and left <= 0:
        observed, why = undrained(observed, cutover.status.source)
    if why:
        return enter_phase(observed, CutoverPhase.BACKING_UP, f"{why}; its state is backed up")
    return wait_with_message(
        observed, "waits for the active release to cancel its orders", min(POLL, left)
    )
