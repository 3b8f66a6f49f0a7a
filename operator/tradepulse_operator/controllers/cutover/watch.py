"""Conversions between the guard, which counts in seconds, and the status of a cutover."""

from __future__ import annotations

from dataclasses import asdict

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import BakeStatus, VerdictKind, VerdictRecord
from tradepulse_operator.api.phases import current
from tradepulse_operator.api.policy import OnInconclusive
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.guard.bake import Checkpoint, begin
from tradepulse_operator.guard.limits import Limits, limits
from tradepulse_operator.guard.results import Verdict
from tradepulse_operator.guard.tally import Tally

from .baseline import tighten

#: The longest time between two checkpoints: each reconciliation judges again what is between.
_LONGEST_STRETCH = 300.0


def needs_recording(cutover: ReleaseCutover) -> bool:
    """Whether the present phase judges samples, from `Limits.lookback` seconds before its
    checkpoint on."""
    return current(cutover.status).judged


def bake_limits(cutover: ReleaseCutover, runner: TradingRunner) -> Limits:
    """The limits of the target while it bakes."""
    spec = cutover.spec
    patient = spec.on_inconclusive is OnInconclusive.HOLD
    thresholds = limits(
        spec.guardrails,
        runner.spec.monitoring.scrape_interval,
        required=seconds(spec.bake),
        patience=None if patient else seconds(spec.switch_deadline),
    )
    return tighten(cutover, thresholds)


def verify_limits(cutover: ReleaseCutover, runner: TradingRunner) -> Limits:
    """The limits of the source once it is back: a whole window of good seconds.

    A quiet market is no reason to halt a release that traded well before: that it lives, has
    reconciled and breaches nothing is enough. A new release is never promoted on that.
    """
    guardrails = cutover.spec.guardrails
    return limits(
        guardrails,
        runner.spec.monitoring.scrape_interval,
        required=seconds(guardrails.window),
        quiet=True,
    )


def from_status(stored: BakeStatus | None, at: float) -> Checkpoint:
    """A stored checkpoint, or one that begins at `at`."""
    if stored is None:
        return begin(at)
    return Checkpoint(
        started_at=instant(stored.started_at),
        evaluated_until=instant(stored.evaluated_until),
        verified_seconds=stored.verified_seconds,
        consecutive=stored.consecutive,
        evidence_at=instant(stored.evidence_at) if stored.evidence_at else None,
        tally=Tally(stored.requests, stored.failed, stored.timed, stored.slow),
    )


def to_status(checkpoint: Checkpoint) -> BakeStatus:
    """The checkpoint as it is persisted."""
    return BakeStatus(
        started_at=timestamp(checkpoint.started_at),
        evaluated_until=timestamp(checkpoint.evaluated_until),
        verified_seconds=checkpoint.verified_seconds,
        consecutive=checkpoint.consecutive,
        evidence_at=None if checkpoint.evidence_at is None else timestamp(checkpoint.evidence_at),
        **asdict(checkpoint.tally),
    )


def checkpoint_due(before: Checkpoint, after: Checkpoint, thresholds: Limits) -> bool:
    """Whether `after` is far enough from the stored `before` to be stored itself."""
    stretch = max(thresholds.interval, thresholds.required / 4)
    return (
        checkpoint_overdue(before, after)
        or after.evaluated_until - before.evaluated_until >= stretch
    )


def checkpoint_overdue(before: Checkpoint, after: Checkpoint) -> bool:
    """Whether so much lies between them that judging it again becomes work."""
    return after.evaluated_until - before.evaluated_until >= _LONGEST_STRETCH


def record(verdict: Verdict) -> VerdictRecord:
    """A verdict as it is persisted."""
    decisive = verdict.decisive
    return VerdictRecord(
        verdict=decisive.kind,
        guardrail=decisive.guardrail,
        value=decisive.value,
        limit=decisive.limit,
        at=timestamp(verdict.at),
        message=f"{decisive.reason}: {decisive.message}",
    )


def describe(verdict: Verdict | None, release: str) -> tuple[str, str]:
    """(reason, message) of a bake that goes on; unchanged as long as the verdict is."""
    if verdict is None:
        return CutoverReason.WATCHING, f"watches release {release}"
    decisive = verdict.decisive
    if decisive.kind is VerdictKind.OK:
        return CutoverReason.WATCHING, f"watches release {release}: every guardrail is kept"
    if decisive.kind is VerdictKind.UNKNOWN:
        return decisive.reason, (
            f"holds: {decisive.guardrail} of release {release} can't be judged"
            f" ({decisive.reason}); the time doesn't count"
        )
    return decisive.reason, (
        f"watches release {release}: {decisive.kind} of {decisive.guardrail},"
        " not yet often enough to be sure"
    )
