"""The status of a runner, written only when it says something new."""

from __future__ import annotations

from .drill import progress
from .runner_conditions import conditions, phase
from .runner_release import settle
from .runner_view import View
from .step import Step


def report(view: View) -> Step | None:
    """Persist what is to be said about the runner now."""
    runner, process = view.runner, view.seen.process
    changes = {
        "observed_generation": runner.metadata.generation,
        "phase": phase(view),
        "conditions": conditions(view),
        **settle(view, runner.status),
        **progress(view),
    }
    if process is not None and process.writer_epoch is not None:
        changes["writer_epoch"] = process.writer_epoch
    return view.write(runner.status.model_copy(update=changes))
