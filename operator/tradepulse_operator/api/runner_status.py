"""What the operator says of a runner."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model
from tradepulse_operator.api.meta import Condition
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.spec.drill import DrillStatus, LastDrill
from tradepulse_operator.api.units import Instant, Message, Text


class RunnerPhase(StrEnum):
    """Summary of a runner for people; conditions say more."""

    PENDING = "Pending"
    STARTING = "Starting"
    TRADING = "Trading"
    CUTTING_OVER = "CuttingOver"
    HALTED = "Halted"
    SUSPENDED = "Suspended"
    STOPPING = "Stopping"
    STALLED = "Stalled"


class HistoryEntry(Model):
    """A release that ran."""

    release: Release = Field(description="The release.")
    since: Instant = Field(description="When it became active, RFC 3339.")
    cutover: Text | None = Field(default=None, description="The cutover that brought it.")


class RejectedRelease(Model):
    """A release that was rolled back; not tried again by itself."""

    release: Release = Field(description="The release.")
    cutover: Text = Field(description="The cutover that rejected it.")
    reason: Message = Field(description="Why it was rolled back.")
    at: Instant = Field(description="When, RFC 3339.")


class TradingRunnerStatus(Model):
    """What runs."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: RunnerPhase | None = Field(default=None, description="Summary for people.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Observations: Ready, TradingEnabled, KillSwitch, ReleaseDrift; Reconciling"
        " and Stalled only while True.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    active_release: Release | None = Field(default=None, description="The release that runs.")
    previous_release: Release | None = Field(default=None, description="The release before it.")
    agreed_release: Text | None = Field(
        default=None,
        description="Id of the release in which spec and active release last agreed. While the spec"
        " still means that one, a cutover by hand away from it isn't undone.",
    )
    cutover: Text | None = Field(default=None, description="The cutover in progress.")
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=32)] = Field(
        default=(), description="Releases that ran, newest first; ten at most."
    )
    rejected_releases: Annotated[tuple[RejectedRelease, ...], Field(max_length=32)] = Field(
        default=(), description="Releases rolled back, newest first; ten at most."
    )
    drill: DrillStatus | None = Field(
        default=None, description="Where the schedule of the kill-switch drills stands."
    )
    last_drill: LastDrill | None = Field(
        default=None, description="The kill-switch drill that ended last."
    )
    writer_epoch: int | None = Field(
        default=None, description="Fencing epoch of the running process, rises with every start."
    )
