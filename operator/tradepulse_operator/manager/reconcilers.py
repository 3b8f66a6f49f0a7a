"""The pure reconcilers, as the loop calls them."""

from __future__ import annotations

from tradepulse_operator.controllers.cutover.reconcile import decide as decide_cutover
from tradepulse_operator.controllers.cutover.reconcile import needs_recording
from tradepulse_operator.controllers.events import cutover_events, runner_events
from tradepulse_operator.controllers.runner.raw import decide_raw, raw_events
from tradepulse_operator.controllers.runner.reconcile import decide as decide_runner
from tradepulse_operator.controllers.runner.reconcile import restraint

from .loop import Reconcilers

__all__ = ["needs_recording", "reconcilers"]


def reconcilers() -> Reconcilers:
    """Those of this operator."""
    return Reconcilers(
        restraint=restraint,
        runner=decide_runner,
        cutover=decide_cutover,
        runner_events=runner_events,
        cutover_events=cutover_events,
        raw_runner=decide_raw,
        raw_events=raw_events,
    )
