"""The one answer to "may we send orders now?", as a pure function of what is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TradingState(StrEnum):
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
    def trading_state(self) -> TradingState:
        if self is Phase.TRADING:
            return TradingState.ACTIVE
        return TradingState.REDUCING if self is Phase.REDUCING else TradingState.HALTED


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision depends on; reasons are empty when they do not apply.

    ``reconciled``: every venue is. ``others_may_reduce``: one that is not, after all of them were,
    leaves the rest free to reduce. ``reduce``: why only what reduces a position may be sent.
    ``lease``: why this process is not the writer.
    """

    started: bool
    stopping: bool
    storage_failure: str
    reconciled: bool
    kill_switch: str
    halted: bool
    halt_reason: str
    lease: str = ""
    others_may_reduce: bool = False
    reduce: str = ""


def decide(facts: Facts) -> tuple[Phase, str]:
    """Phase and, when it is not TRADING, why."""
    if found := _unable(facts):
        return found
    stop = _stop(facts)
    # Before the halts: a halt is only complete once the venue's truth is known.
    if not facts.reconciled and (stop or not facts.others_may_reduce):
        return Phase.RECONCILING, "reconciling with the venue"
    if stop:
        return Phase.HALTED, stop
    if not facts.reconciled:
        return Phase.REDUCING, "a venue is being reconciled"
    if facts.reduce:
        return Phase.REDUCING, facts.reduce
    return Phase.TRADING, ""


def _unable(facts: Facts) -> tuple[Phase, str] | None:
    """What no venue and no order of anybody can change."""
    if facts.stopping:
        return Phase.STOPPING, "shutting down"
    if facts.lease:
        return Phase.WAITING, f"WAITING for the writer lease: {facts.lease}"
    if not facts.started:
        return Phase.STARTING, "loading state"
    if facts.storage_failure:
        return Phase.HALTED, facts.storage_failure
    return None


def _stop(facts: Facts) -> str:
    if facts.kill_switch:
        return f"kill switch: {facts.kill_switch}"
    if facts.halted:
        return f"halted: {facts.halt_reason or 'no reason given'}"
    return ""
