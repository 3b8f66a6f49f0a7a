"""The pure reconcilers, as the loop calls them."""

from __future__ import annotations

from tradepulse_operator.reconcile import cutover, events, runner
from tradepulse_operator.reconcile.cutover import needs_recording

from .loop import Reconcilers

__all__ = ["needs_recording", "reconcilers"]


def reconcilers() -> Reconcilers:
    """Those of this operator."""
    return Reconcilers(
        runner=runner.decide,
        cutover=cutover.decide,
        runner_events=events.runner_events,
        cutover_events=events.cutover_events,
    )
