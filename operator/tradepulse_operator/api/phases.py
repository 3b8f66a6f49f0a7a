"""What each phase of a cutover, and each step of a rollback, means: the one table of it.

Everything that depends on a phase is derived from here: the desired run, the samples that are asked
for, what an abort does, conditions, events, metrics and so the alert. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from tradepulse_operator.api.cutover_status import CutoverPhase, ReleaseCutoverStatus, RollbackStep
from tradepulse_operator.api.policy import CutoverPolicy

from .units import seconds


class Side(StrEnum):
    """One of the two releases of a cutover."""

    SOURCE = "source"
    TARGET = "target"


class OrderState(StrEnum):
    """What the state container does before the process of the desired release starts."""

    AS_IS = "as it is"
    BACKED_UP = "backed up"
    RESTORED = "as `rollback.state` asks"


class OnAbort(StrEnum):
    """What `spec.abort` leads to. Where it ends the cutover, nothing was switched yet."""

    END = "ends Failed"
    ROLL_BACK = "rolls back"
    IGNORE = "changes nothing"


class People(StrEnum):
    """Whether someone has to act before it goes on."""

    NEVER = "no"
    MAYBE = "maybe"
    ALWAYS = "yes"


class End(StrEnum):
    """How it ended: with the target as the active release, or without."""

    GOOD = "good"
    BAD = "bad"


class Limit(StrEnum):
    """How long it may take. From the beginning of the phase, or of the step in a rollback; but
    `rollback.deadline` is for the whole rollback, from its beginning."""

    HALT = "haltDeadline"
    SWITCH = "switchDeadline"
    EVIDENCE = "30s"
    ROLLBACK = "rollback.deadline"


@dataclass(frozen=True)
class PhaseFacts:
    """What holds in a phase, or in a step of a rollback."""

    #: Release whose pod is desired.
    runs: Side
    #: Whether its pod may start; else there is to be none.
    starts: bool
    #: Whether its process is ordered to cancel its orders, to drain, and to send no more.
    halted: bool
    #: What is done with the order state before it starts.
    state: OrderState
    #: Whether the kill switch is engaged for the cutover, until a person resets it.
    kill_switch: bool
    #: Whether the cutover changes anything of the run; else it is as if there were none.
    touched: bool
    #: Release whose samples are asked for.
    samples: Side
    #: Whether they are judged, so that they are needed for each decision.
    judged: bool
    on_abort: OnAbort
    #: Whether it waits while the runner is suspended or being deleted.
    pauses: bool
    people: People
    #: How it ended; None while it goes on.
    end: End | None
    #: Whether entering it is a bad sign.
    bad: bool
    #: None: as long as what it waits for takes, which is no fault.
    expected_within: Limit | None

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.end is not None

    @property
    def before_halt(self) -> bool:
        """Whether the cutover goes on and nothing was touched yet: only the present counts."""
        return not self.touched and not self.final

    @property
    def checking(self) -> bool:
        """Whether everything that must hold before the halt is being checked."""
        return self.before_halt and self.judged

    @property
    def stalled(self) -> bool:
        """Whether its end leaves a person something to decide."""
        return self.final and self.people is People.ALWAYS


_PENDING = PhaseFacts(
    runs=Side.SOURCE,
    starts=True,
    halted=False,
    state=OrderState.AS_IS,
    kill_switch=False,
    touched=False,
    samples=Side.SOURCE,
    judged=False,
    on_abort=OnAbort.END,
    pauses=False,
    people=People.NEVER,
    end=None,
    bad=False,
    # Another cutover of the runner may take its time, and wait for people.
    expected_within=None,
)
# Prometheus may be away, and an item of the checklist may be a person's: all the while the release
# that is active trades on, so no limit is right and nobody is to be woken.
_PREFLIGHT = replace(_PENDING, judged=True, people=People.MAYBE)
_AWAITING_APPROVAL = replace(_PREFLIGHT, people=People.ALWAYS)
_HALTING = replace(_PENDING, halted=True, touched=True, expected_within=Limit.HALT)
_BACKING_UP = PhaseFacts(
    runs=Side.TARGET,
    starts=True,
    halted=False,
    state=OrderState.BACKED_UP,
    kill_switch=False,
    touched=True,
    samples=Side.TARGET,
    judged=False,
    on_abort=OnAbort.ROLL_BACK,
    pauses=True,
    people=People.NEVER,
    end=None,
    bad=False,
    expected_within=Limit.SWITCH,
)
_SWITCHING = _BACKING_UP
# Only seconds in which the guard could see count: it takes as long as that takes.
_BAKING = replace(_BACKING_UP, judged=True, expected_within=None)
_SUCCEEDED = replace(
    _BACKING_UP, on_abort=OnAbort.IGNORE, pauses=False, end=End.GOOD, expected_within=None
)
_TARGET_HALTING = replace(
    _BACKING_UP,
    halted=True,
    on_abort=OnAbort.IGNORE,
    pauses=False,
    bad=True,
    expected_within=Limit.HALT,
)
_COLLECTING_EVIDENCE = replace(_TARGET_HALTING, expected_within=Limit.EVIDENCE)
_STOPPING = replace(
    _TARGET_HALTING,
    runs=Side.SOURCE,
    starts=False,
    halted=False,
    state=OrderState.RESTORED,
    expected_within=Limit.ROLLBACK,
)
_STARTING = replace(_STOPPING, starts=True, samples=Side.SOURCE, pauses=True)
_VERIFYING = replace(_STARTING, judged=True, bad=False)
_ROLLED_BACK = replace(_STARTING, pauses=False, end=End.BAD, expected_within=None)
_HALTED = replace(_ROLLED_BACK, kill_switch=True, people=People.ALWAYS)
_FAILED = replace(_PENDING, on_abort=OnAbort.IGNORE, people=People.ALWAYS, end=End.BAD, bad=True)


# One case a phase, so that the type checker refuses a phase that has none.
def facts(  # noqa: C901, PLR0911, PLR0912
    phase: CutoverPhase, step: RollbackStep | None = None
) -> PhaseFacts:
    """What holds in `phase`. `step`: the rollback's, where there was one."""
    match phase:
        case CutoverPhase.PENDING:
            return _PENDING
        case CutoverPhase.PREFLIGHT:
            return _PREFLIGHT
        case CutoverPhase.AWAITING_APPROVAL:
            return _AWAITING_APPROVAL
        case CutoverPhase.HALTING:
            return _HALTING
        case CutoverPhase.BACKING_UP:
            return _BACKING_UP
        case CutoverPhase.SWITCHING:
            return _SWITCHING
        case CutoverPhase.BAKING:
            return _BAKING
        case CutoverPhase.SUCCEEDED:
            return _SUCCEEDED
        case CutoverPhase.ROLLING_BACK:
            return _rolling_back(step)
        case CutoverPhase.VERIFYING:
            return _VERIFYING
        case CutoverPhase.ROLLED_BACK:
            return _ROLLED_BACK
        case CutoverPhase.HALTED:
            # What a person has to look at is the release that was at work last.
            return replace(_HALTED, samples=_rolling_back(step).samples)
        case CutoverPhase.FAILED:
            return _FAILED
        case _:
            assert_never(phase)


def _rolling_back(step: RollbackStep | None) -> PhaseFacts:
    match step:
        # No step: a status that someone else wrote. It begins with the halt, as every rollback.
        case None | RollbackStep.HALTING:
            return _TARGET_HALTING
        case RollbackStep.COLLECTING_EVIDENCE:
            return _COLLECTING_EVIDENCE
        case RollbackStep.STOPPING:
            return _STOPPING
        case RollbackStep.STARTING:
            return _STARTING
        case _:
            assert_never(step)


def current(status: ReleaseCutoverStatus) -> PhaseFacts:
    """What holds for a cutover with this status; one that nobody has looked at yet is Pending."""
    step = status.rollback.step if status.rollback else None
    return facts(status.phase or CutoverPhase.PENDING, step)


def final(status: ReleaseCutoverStatus) -> bool:
    """Whether a cutover with this status has ended."""
    return current(status).final


def allowed(limit: Limit, policy: CutoverPolicy) -> float:
    """How long that is under `policy`, in seconds."""
    match limit:
        case Limit.HALT:
            return seconds(policy.halt_deadline)
        case Limit.SWITCH:
            return seconds(policy.switch_deadline)
        case Limit.EVIDENCE:
            return seconds(Limit.EVIDENCE)
        case Limit.ROLLBACK:
            return seconds(policy.rollback.deadline)
        case _:
            assert_never(limit)


def _steps(phase: CutoverPhase) -> tuple[RollbackStep | None, ...]:
    """Steps with which `phase` means something else than with another one."""
    apart = len({facts(phase, step) for step in RollbackStep}) > 1
    return tuple(RollbackStep) if apart else (None,)


#: Every phase, with every step where it depends on that → what holds, in the order of the phases.
TABLE: Mapping[tuple[CutoverPhase, RollbackStep | None], PhaseFacts] = MappingProxyType(
    {(phase, step): facts(phase, step) for phase in CutoverPhase for step in _steps(phase)}
)
