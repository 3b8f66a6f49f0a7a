"""The status of a runner, written only when it has changed."""

from __future__ import annotations

from tradepulse_operator.controllers.drill.drill import progress
from tradepulse_operator.controllers.step import Step

from .conditions import conditions, phase
from .context import RunnerContext
from .release import refresh_active_release


def report(view: RunnerContext) -> Step | None:
    """Persist the status of the runner."""
    runner, process = view.runner, view.observed.process
    changes = {
        "observed_generation": runner.metadata.generation,
        "phase": phase(view),
        "conditions": conditions(view),
        **refresh_active_release(view, runner.status),
        **progress(view),
    }
    if process is not None and process.writer_epoch is not None:
        changes["writer_epoch"] = process.writer_epoch
    return view.write(runner.status.model_copy(update=changes))
