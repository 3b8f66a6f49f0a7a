"""The bake: judgements at fixed instants, folded into verified seconds and a decision.

The instants are `start + n · interval`. Each is judged from samples up to it, once those can have
arrived; so the result follows from the recorded samples, not from when they were judged. Folding in
pieces, from checkpoint to checkpoint, gives what folding at once does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.reasons import GuardReason

from .evidence import Evidence, evidence
from .limits import Limits
from .overall import overall, weighed
from .results import METRIC_GAP, Verdict, unknown, verdict
from .samples import Recording
from .silence import covered, scraping
from .tally import NOTHING, Tally
from .verdict import judge_evidence, tally


class Decision(StrEnum):
    """What follows from a bake so far."""

    CONTINUE = "continue"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Checkpoint:
    """How far a bake has come. Instants in unix seconds.

    `evidence_at`: the last instant of which anything was known. `tally`: all requests so far.
    """

    started_at: float
    evaluated_until: float
    verified_seconds: float = 0.0
    consecutive: int = 0
    evidence_at: float | None = None
    tally: Tally = NOTHING


@dataclass(frozen=True)
class BakeProgress:
    """A checkpoint, the last verdict (None before the first instant) and what follows."""

    checkpoint: Checkpoint
    verdict: Verdict | None
    decision: Decision


def begin(at: float) -> Checkpoint:
    """A bake that begins at `at`."""
    return Checkpoint(started_at=at, evaluated_until=at)


def advance(
    checkpoint: Checkpoint, recording: Recording, now: float, limits: Limits
) -> BakeProgress:
    """The bake after everything in `recording` that can be judged by `now`.

    Stops at the instant that decides. Only ROLLBACK and PROMOTE rest on samples; INCONCLUSIVE says
    that there was no evidence for `limits.patience` seconds.
    """
    seen = evidence(recording, limits, checkpoint.started_at)
    done = BakeProgress(checkpoint, None, Decision.CONTINUE)
    for at in _instants(checkpoint, now, limits):
        if not _arrived(seen, at, limits):
            done = replace(done, verdict=_waiting(seen, at))
            break
        done = _fold(done.checkpoint, seen, at, limits)
        if done.decision is not Decision.CONTINUE:
            return done
    since = done.checkpoint.evidence_at or done.checkpoint.started_at
    if limits.patience is not None and now - since > limits.patience:
        return replace(done, decision=Decision.INCONCLUSIVE)
    return done


def next_evaluation(checkpoint: Checkpoint, now: float, limits: Limits) -> float:
    """Seconds until the next instant can be judged; an interval when one already waits for data."""
    due = next(_instants(checkpoint, float("inf"), limits)) + limits.settle
    return due - now if due > now else limits.interval


def _instants(checkpoint: Checkpoint, now: float, limits: Limits) -> Iterator[float]:
    start, every = checkpoint.started_at, limits.interval
    # Counted from the start, so that rounding in a stored checkpoint never shifts the grid.
    number = round((checkpoint.evaluated_until - start) / every) + 1
    while start + number * every + limits.settle <= now:
        yield start + number * every
        number += 1


def _arrived(seen: Evidence, at: float, limits: Limits) -> bool:
    """Whether Prometheus' record has come as far as `at`.

    While it is down or behind, instants wait; once it scrapes again they are judged, as unknown
    where there is a hole.
    """
    if seen.outage:
        return False
    return scraping(seen, at, limits) or (bool(seen.control) and seen.control[-1] > at)


def _waiting(seen: Evidence, at: float) -> Verdict:
    why = f"no answer: {seen.outage}" if seen.outage else "Prometheus scraped nothing of late"
    return verdict(at, [unknown(METRIC_GAP, GuardReason.PROMETHEUS_DOWN, why)])


def _fold(before: Checkpoint, seen: Evidence, at: float, limits: Limits) -> BakeProgress:
    every = before.tally + tally(seen, before.evaluated_until, at, limits)
    judged = weighed(judge_evidence(seen, at, limits), every, limits)
    after = replace(
        before,
        evaluated_until=at,
        evidence_at=at if judged.conclusive else before.evidence_at,
        tally=every,
    )
    if judged.kind is VerdictKind.OK:
        credit = covered(seen, max(before.started_at, at - limits.interval), at, limits)
        # Microseconds, so that sums of checkpoints read well and add up the same in any order.
        verified = round(before.verified_seconds + credit, 6)
        after = replace(after, consecutive=0, verified_seconds=verified)
        if verified < limits.required:
            return BakeProgress(after, judged, Decision.CONTINUE)
        above = overall(every, limits)
        if above:  # long enough, but all in all not good: more of it will tell
            return BakeProgress(after, verdict(at, above), Decision.CONTINUE)
        return BakeProgress(after, judged, Decision.PROMOTE)
    if judged.kind is VerdictKind.UNKNOWN:
        # Not knowing neither clears a breach nor adds to it.
        return BakeProgress(after, judged, Decision.CONTINUE)
    after = replace(after, consecutive=before.consecutive + 1)
    rollback = after.consecutive >= limits.consecutive and judged.sure
    return BakeProgress(after, judged, Decision.ROLLBACK if rollback else Decision.CONTINUE)
