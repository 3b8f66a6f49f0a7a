"""The one answer to "may we send orders now?", as a pure function of what is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """``state`` in ``/status``. Only TRADING sends orders."""

    STARTING = "STARTING"
    WAITING = "WAITING"
    RECONCILING = "RECONCILING"
    TRADING = "TRADING"
    HALTED = "HALTED"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision depends on; reasons are empty when they do not apply."""

    started: bool
    stopping: bool
    storage_failure: str
    reconciled: bool
    kill_switch: str
    halted: bool
    halt_reason: str
    lease: str = ""


def decide(facts: Facts) -> tuple[Phase, str]:
    """Phase and, when it is not TRADING, why."""
    if facts.stopping:
        return Phase.STOPPING, "shutting down"
    if facts.lease:
        return Phase.WAITING, f"WAITING for the writer lease: {facts.lease}"
    if not facts.started:
        return Phase.STARTING, "loading state"
    if facts.storage_failure:
        return Phase.HALTED, facts.storage_failure
    # Before the halts: a halt is only complete once the venue's truth is known.
    if not facts.reconciled:
        return Phase.RECONCILING, "reconciling with the venue"
    if facts.kill_switch:
        return Phase.HALTED, f"kill switch: {facts.kill_switch}"
    if facts.halted:
        return Phase.HALTED, f"halted: {facts.halt_reason or 'no reason given'}"
    return Phase.TRADING, ""
