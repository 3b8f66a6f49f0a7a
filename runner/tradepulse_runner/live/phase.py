"""The decision whether orders may be sent now, as a pure function of the facts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from tradepulse_runner.lease.decisions import Candidate
from tradepulse_runner.live.control import Directive


class TradingMode(StrEnum):
    """What a phase means for orders: all may leave, only those that reduce a position, none."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Phase(StrEnum):
    """``state`` in ``/status``. Only TRADING and REDUCING send orders."""

    STARTING = "STARTING"
    WAITING = "WAITING"
    RECONCILING = "RECONCILING"
    TRADING = "TRADING"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    STOPPING = "STOPPING"

    @property
    def mode(self) -> TradingMode:
        match self:
            case Phase.TRADING:
                return TradingMode.ACTIVE
            case Phase.REDUCING:
                return TradingMode.REDUCING
            case Phase.STARTING | Phase.WAITING | Phase.RECONCILING | Phase.HALTED | Phase.STOPPING:
                return TradingMode.HALTED
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """``reconciled``: our book agrees with the venue. ``known``: it did before, in this process."""

    reconciled: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision depends on; each fact has one owner, who sets it. Reasons are empty
    when they do not apply.

    ``started``: the state is loaded; ``waiting``: for the writer lease, before that; ``stopping``:
    the process shuts down. ``kill_switch``: why it is engaged, None while it isn't. ``drained``:
    nothing is open or unknown, and that is saved. ``guard_halt``, ``guard_reduce``: why the guard
    restricts trading. ``soft_loss``: why the day's loss lets only what reduces leave. ``lease``:
    what is known of the writer lease, None where there is none. ``others_may_reduce``: while one
    venue is being reconciled, the others may reduce (configuration).
    """

    started: bool = False
    waiting: bool = False
    stopping: bool = False
    storage_failure: str = ""
    kill_switch: str | None = None
    directive: Directive = field(default_factory=Directive)
    drained: bool = False
    guard_halt: str = ""
    guard_reduce: str = ""
    soft_loss: str = ""
    lease: Candidate | None = None
    others_may_reduce: bool = False
    venues: Mapping[str, VenueFacts] = field(default_factory=dict)

    @property
    def reconciled(self) -> bool:
        """Whether every venue is."""
        return all(venue.reconciled for venue in self.venues.values())

    @property
    def partly_reconciled(self) -> bool:
        """Whether some venues are, after all of them were once."""
        venues = self.venues.values()
        return all(v.known for v in venues) and any(v.reconciled for v in venues)

    @property
    def halt_complete(self) -> bool:
        """Whether the halt that the operator asks for is done."""
        return self.directive.halt and self.drained

    @property
    def reduce_reason(self) -> str:
        """Why a person, a loss or the guard wants positions reduced."""
        if self.directive.reduce:
            return f"reducing: {self.directive.reason or 'no reason given'}"
        return self.soft_loss or self.guard_reduce

    def lease_refusal(self, now: float) -> str:
        """Why the writer lease allows no order at ``now``; "" when it does, or there is none."""
        return self.lease.refusal(now) if self.lease else ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The phase and, when it is not TRADING, why. Valid until a fact changes, at the latest
    until ``until``: the writer lease runs out by itself."""

    phase: Phase
    why: str
    until: float = math.inf

    @property
    def refusal(self) -> str | None:
        """Why no order may be sent; None while at least reducing orders may."""
        return self.why if self.phase.mode is TradingMode.HALTED else None


def decide(facts: Facts, now: float) -> Decision:
    """``now``: seconds of the clock that the writer lease is kept by."""
    phase, why = _decide(facts, now)
    return Decision(phase, why, facts.lease.changes_at(now) if facts.lease else math.inf)


def _decide(facts: Facts, now: float) -> tuple[Phase, str]:
    if unable := _unable(facts, now):
        return unable
    stop = _stop(facts)
    # Before the halts: a halt is only complete once the venue's orders are known.
    if not facts.reconciled and (stop or not _others_may_reduce(facts)):
        return Phase.RECONCILING, "reconciling with the venue"
    if stop:
        return Phase.HALTED, stop
    if not facts.reconciled:
        return Phase.REDUCING, "a venue is being reconciled"
    if reduce := facts.reduce_reason:
        return Phase.REDUCING, reduce
    return Phase.TRADING, ""


def _unable(facts: Facts, now: float) -> tuple[Phase, str] | None:
    """Conditions that come before every other: a process that can't trade at all."""
    if facts.stopping:
        return Phase.STOPPING, "shutting down"
    if (facts.started or facts.waiting) and (lease := facts.lease_refusal(now)):
        return Phase.WAITING, f"WAITING for the writer lease: {lease}"
    if not facts.started:
        return Phase.STARTING, "loading state"
    if facts.storage_failure:
        return Phase.HALTED, facts.storage_failure
    return None


def _stop(facts: Facts) -> str:
    if facts.kill_switch is not None:
        return f"kill switch: {facts.kill_switch or 'no reason given'}"
    if facts.directive.halt:
        return f"halted: {facts.directive.reason or 'no reason given'}"
    return f"halted: {facts.guard_halt}" if facts.guard_halt else ""


def _others_may_reduce(facts: Facts) -> bool:
    return facts.others_may_reduce and facts.partly_reconciled
