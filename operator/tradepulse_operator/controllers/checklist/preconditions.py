"""Preconditions for touching a running release, as a table of checks.

A check that can come true by itself is waited for, however long: nothing was touched yet. One that
can't is refused, with the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.controllers.cutover.watch import bake_limits
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.guard.verdict import missing


@dataclass(frozen=True)
class NotYet:
    """Not yet; `message` says what it waits for."""

    message: str


@dataclass(frozen=True)
class Refusal:
    """Never; `reason` is CamelCase, `message` says the remedy."""

    reason: str
    message: str


Outcome = NotYet | Refusal | None


def require_running(observed: CutoverObserved) -> Refusal | None:
    """The runner exists, isn't being deleted and isn't suspended."""
    runner = observed.runner
    if runner is None:
        return Refusal(
            CutoverReason.RUNNER_GONE, f"TradingRunner {observed.cutover.spec.runner} is gone"
        )
    if runner.metadata.deletion_timestamp:
        return Refusal(
            CutoverReason.RUNNER_DELETED, "the runner is being deleted: nothing can be released"
        )
    if runner.spec.suspend:
        return Refusal(
            CutoverReason.SUSPENDED,
            "the runner is suspended: set spec.suspend to false and create a new ReleaseCutover",
        )
    return None


def _another(observed: CutoverObserved) -> Outcome:
    source, target = observed.cutover.status.source, observed.cutover.status.target
    if source and target and source.id == target.id:
        return Refusal(
            CutoverReason.NOTHING_TO_DO,
            f"release {target.id} is active already: ask for another image or configuration",
        )
    return None


def _active(observed: CutoverObserved) -> Outcome:
    active = observed.runner.status.active_release if observed.runner else None
    source = observed.cutover.status.source
    if active is None or source is None:
        return NotYet("waits for the runner's first release to trade")
    if active.id != source.id:
        return Refusal(
            CutoverReason.ACTIVE_RELEASE_CHANGED,
            f"release {active.id} is active, no longer {source.id}: create a new ReleaseCutover",
        )
    return None


def _trading(observed: CutoverObserved) -> Outcome:
    pod, source = observed.pod, observed.cutover.status.source
    if observed.process and observed.process.kill_switch:
        return NotYet("waits for the kill switch to be reset: the active release doesn't trade")
    if pod is None or source is None or pod.release != source.id or pod.deleting or not pod.ready:
        return NotYet("waits for the active release to trade: its pod isn't ready")
    return None


def volume(observed: CutoverObserved) -> NotYet | None:
    """The claim of the order state is bound."""
    phase = ((observed.pvc or {}).get("status") or {}).get("phase")
    if phase != "Bound":
        return NotYet(f"waits for the state volume: its claim is {phase or 'missing'}, not Bound")
    return None


def samples(observed: CutoverObserved) -> NotYet | None:
    """Every series that the guard needs has fresh samples."""
    if observed.runner is None or observed.recording is None:
        return NotYet("waits for samples of the active release")
    thresholds = bake_limits(observed.cutover, observed.runner)
    lacks = missing(observed.recording, observed.now, thresholds)
    return NotYet(f"waits for evidence: {lacks}") if lacks else None


def one_cutover(observed: CutoverObserved) -> NotYet | None:
    """The runner has claimed this cutover, and so no other one."""
    runner, name = observed.runner, observed.cutover.metadata.name
    if runner is None or runner.status.cutover != name:
        return NotYet(f"waits until TradingRunner {observed.cutover.spec.runner} is free for it")
    return None


#: Refusals first, so that no cutover waits for what can't come true.
CHECKS: tuple[tuple[str, Callable[[CutoverObserved], Outcome]], ...] = (
    ("the runner runs on", require_running),
    ("the release is another one", _another),
    ("the active release is known", _active),
    ("the active release trades", _trading),
    ("the state volume is bound", volume),
    ("the guard can see", samples),
)


def preflight(observed: CutoverObserved) -> Outcome:
    """The outcome of the first check that fails; None when all pass."""
    return next((outcome for _, check in CHECKS if (outcome := check(observed))), None)
