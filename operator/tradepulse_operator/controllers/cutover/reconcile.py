"""The ReleaseCutover reconciler: (cutover, what was observed) → one step.

The cutover writes its own status and nothing that runs. What a phase means for the runner's pod is
derived from it in `controllers/runner/desired_run.py`, so this decision can be taken again at any
time, by anyone.
"""

from __future__ import annotations

from typing import assert_never

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.phases import OnAbort, PhaseFacts, current
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.controllers.checklist.checklist import delete_finished_pods
from tradepulse_operator.controllers.cutover.phases.backing_up import backing_up
from tradepulse_operator.controllers.cutover.phases.baking import baking
from tradepulse_operator.controllers.cutover.phases.ends import (
    aborted_before_switch,
    end_failed,
    end_halted,
    ended,
    unreported,
)
from tradepulse_operator.controllers.cutover.phases.halting import halting
from tradepulse_operator.controllers.cutover.phases.pending import pending
from tradepulse_operator.controllers.cutover.phases.preflight import checking
from tradepulse_operator.controllers.cutover.phases.rolling_back import roll_back, rolling_back
from tradepulse_operator.controllers.cutover.phases.switching import switching
from tradepulse_operator.controllers.cutover.phases.verifying import verifying
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step, Wait

from .pause import paused
from .status import POLL, enter_phase, wait_with_message
from .watch import needs_recording

__all__ = ["decide", "needs_recording"]


def decide(observed: CutoverObserved) -> Step:
    """The next step of a cutover."""
    cutover = observed.cutover
    phase = cutover.status.phase
    if cutover.metadata.deletion_timestamp:
        return Wait("is being deleted")
    if phase is None:
        message = f"waits until TradingRunner {cutover.spec.runner} is free for it"
        return enter_phase(observed, CutoverPhase.PENDING, message)
    facts = current(cutover.status)
    if observed.runner_problem and not facts.final:
        return _without_runner(observed, facts)
    if not facts.final and phase is not CutoverPhase.PENDING:
        prerequisite = _precondition(observed, facts)
        if prerequisite:
            return prerequisite
    step = _step(observed, phase)
    over = facts.final and isinstance(step, Wait)
    return (delete_finished_pods(observed) if over else None) or step


# One case a phase, so that the type checker refuses a phase that has none.
def _step(observed: CutoverObserved, phase: CutoverPhase) -> Step:  # noqa: C901, PLR0911
    """The decision of `phase` itself."""
    match phase:
        case CutoverPhase.PENDING:
            return pending(observed)
        case CutoverPhase.PREFLIGHT | CutoverPhase.AWAITING_APPROVAL:
            return checking(observed)
        case CutoverPhase.HALTING:
            return halting(observed)
        case CutoverPhase.BACKING_UP:
            return backing_up(observed)
        case CutoverPhase.SWITCHING:
            return switching(observed)
        case CutoverPhase.BAKING:
            return baking(observed)
        case CutoverPhase.ROLLING_BACK:
            return rolling_back(observed)
        case CutoverPhase.VERIFYING:
            return verifying(observed)
        case CutoverPhase.ROLLED_BACK | CutoverPhase.HALTED:
            return ended(observed)
        case CutoverPhase.SUCCEEDED | CutoverPhase.FAILED:
            return unreported(observed)
        case _:
            assert_never(phase)


def _without_runner(observed: CutoverObserved, facts: PhaseFacts) -> Step:
    """Nothing is decided for a runner that can't be parsed, except an abort by a person."""
    if observed.cutover.spec.abort:
        match facts.on_abort:
            case OnAbort.ROLL_BACK:
                return roll_back(observed, CutoverReason.ABORTED, "aborted by spec.abort")
            case OnAbort.END:
                return aborted_before_switch(observed)
            case OnAbort.IGNORE:
                pass
            case _:
                assert_never(facts.on_abort)
    message = f"waits: {observed.runner_problem}"
    return wait_with_message(observed, message, 10 * POLL, reason=CutoverReason.NOT_UNDERSTOOD)


def _precondition(observed: CutoverObserved, facts: PhaseFacts) -> Step | None:
    """The step that precedes the phase's own decision, if any."""
    cutover, runner = observed.cutover, observed.runner
    if runner is None:
        message = f"TradingRunner {cutover.spec.runner} was deleted"
        end = end_failed if facts.on_abort is OnAbort.END else end_halted
        return end(observed, CutoverReason.RUNNER_GONE, message)
    if runner.status.cutover != cutover.metadata.name:
        # Not the runner's cutover any more: its pod isn't judged here.
        return Wait("isn't the runner's cutover", 10 * POLL)
    if facts.on_abort is OnAbort.ROLL_BACK and cutover.spec.abort:
        return roll_back(observed, CutoverReason.ABORTED, "aborted by spec.abort")
    return paused(observed) if facts.pauses else None
