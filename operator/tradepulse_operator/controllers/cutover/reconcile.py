"""A release's move: (cutover, what was observed) → one step.

The cutover writes its own status and nothing that runs. What a phase means for the runner's pod is
derived from it in `intent.py`, so this decision can be taken again at any time, by anyone.
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_operator.api.cutover_status import FINAL, CutoverPhase, RollbackStep
from tradepulse_operator.controllers.checklist.checklist import tidy
from tradepulse_operator.controllers.cutover.phases.forward import (
    backing_up,
    baking,
    checking,
    fail,
    halting,
    pending,
    switching,
)
from tradepulse_operator.controllers.cutover.phases.rollback import (
    ended,
    roll_back,
    rolling_back,
    stop,
    verifying,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step, Wait

from .pause import paused
from .status import NOT_UNDERSTOOD, POLL, enter, say
from .watch import needs_recording

__all__ = ["decide", "needs_recording"]

_PHASES: dict[CutoverPhase, Callable[[CutoverObserved], Step]] = {
    CutoverPhase.PENDING: pending,
    CutoverPhase.PREFLIGHT: checking,
    CutoverPhase.AWAITING_APPROVAL: checking,
    CutoverPhase.HALTING: halting,
    CutoverPhase.BACKING_UP: backing_up,
    CutoverPhase.SWITCHING: switching,
    CutoverPhase.BAKING: baking,
    CutoverPhase.ROLLING_BACK: rolling_back,
    CutoverPhase.VERIFYING: verifying,
    CutoverPhase.ROLLED_BACK: ended,
    CutoverPhase.HALTED: ended,
    CutoverPhase.SUCCEEDED: lambda _: Wait("ended"),
    CutoverPhase.FAILED: lambda _: Wait("ended"),
}
#: Phases in which nothing has been switched yet, so the source simply goes on.
_BEFORE = frozenset({CutoverPhase.PREFLIGHT, CutoverPhase.AWAITING_APPROVAL, CutoverPhase.HALTING})
#: Phases that a person can turn round.
_FORWARD = frozenset({CutoverPhase.BACKING_UP, CutoverPhase.SWITCHING, CutoverPhase.BAKING})


def decide(observed: CutoverObserved) -> Step:
    """The next step of a cutover."""
    cutover = observed.cutover
    phase = cutover.status.phase
    if cutover.metadata.deletion_timestamp:
        return Wait("is being deleted")
    if phase is None:
        message = f"waits until TradingRunner {cutover.spec.runner} is free for it"
        return enter(observed, CutoverPhase.PENDING, message)
    if observed.runner_problem and phase not in FINAL:
        return _without_runner(observed, phase)
    if phase not in FINAL and phase is not CutoverPhase.PENDING:
        held = _held(observed, phase)
        if held:
            return held
    found = _PHASES[phase](observed)
    ended = phase in FINAL and isinstance(found, Wait)
    return (tidy(observed) if ended else None) or found


def _without_runner(observed: CutoverObserved, phase: CutoverPhase) -> Step:
    """Nothing is decided on a runner that can't be parsed, but for what a person asks for."""
    if observed.cutover.spec.abort and phase in _FORWARD:
        return roll_back(observed, "Aborted", "aborted by spec.abort")
    if observed.cutover.spec.abort and phase in (_BEFORE | {CutoverPhase.PENDING}):
        return fail(observed, "Aborted", "aborted by spec.abort before anything was switched")
    return say(observed, f"waits: {observed.runner_problem}", 10 * POLL, reason=NOT_UNDERSTOOD)


def _held(observed: CutoverObserved, phase: CutoverPhase) -> Step | None:
    """What comes before the phase's own decision, if anything."""
    cutover, runner = observed.cutover, observed.runner
    if runner is None:
        message = f"TradingRunner {cutover.spec.runner} was deleted"
        end = fail if phase in _BEFORE else stop
        return end(observed, "RunnerGone", message)
    if runner.status.cutover != cutover.metadata.name:
        # Not the runner's cutover any more: whatever is seen of the pod isn't ours to judge.
        return Wait("isn't the runner's cutover", 10 * POLL)
    if phase in _FORWARD and cutover.spec.abort:
        return roll_back(observed, "Aborted", "aborted by spec.abort")
    rollback = cutover.status.rollback
    starts = rollback is not None and rollback.step is RollbackStep.STARTING
    if phase in _FORWARD or phase is CutoverPhase.VERIFYING or starts:
        return paused(observed)
    return None
