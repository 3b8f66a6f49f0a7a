"""How a cutover proceeds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from tradepulse_operator.api.approvals import Approvals
from tradepulse_operator.api.base import Model, Rule, rule
from tradepulse_operator.api.baseline import BaselinePolicy
from tradepulse_operator.api.checklist import MOST_ITEMS, ChecklistItem
from tradepulse_operator.api.guardrails import Guardrails
from tradepulse_operator.api.rehearsal import RehearsalPolicy
from tradepulse_operator.api.units import Duration, seconds


class StateOnRollback(StrEnum):
    """What a rollback does with the order state."""

    RESTORE = "Restore"
    KEEP = "Keep"
    FREEZE = "Freeze"


class Rollback(Model):
    """How a cutover is rolled back."""

    state: StateOnRollback = Field(
        default=StateOnRollback.RESTORE,
        description="Restore brings back the backup taken before the switch and reconciles it with"
        " the venue; Keep starts the previous release on the current state; Freeze starts it with"
        " the kill switch engaged, for a person to decide.",
    )
    deadline: Duration = Field(
        default="10m",
        description="Time for the whole rollback; one that isn't verified by then ends Halted.",
    )


class OnInconclusive(StrEnum):
    """What to do when the guard can't tell."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"


class CutoverPolicy(Model):
    """How a cutover proceeds; the template of automatic ones, and part of each cutover's spec."""

    cel: ClassVar[Sequence[Rule]] = (
        rule(
            "duration(self.bake) >= duration(self.guardrails.interval)",
            "bake must not be shorter than guardrails.interval, else nothing is judged: raise bake",
            ".bake",
            holds=lambda it: seconds(it.bake) >= seconds(it.guardrails.interval),
        ),
        rule(
            "duration(self.rollback.deadline) > duration(self.guardrails.window)",
            "rollback.deadline must be longer than guardrails.window, for which a rollback is"
            " verified: raise rollback.deadline",
            ".rollback.deadline",
            holds=lambda it: seconds(it.rollback.deadline) > seconds(it.guardrails.window),
        ),
    )

    approvals: Approvals = Field(
        default=Approvals(), description="Sign-offs that a cutover waits for."
    )
    checklist: Annotated[tuple[ChecklistItem, ...], Field(max_length=MOST_ITEMS)] = Field(
        default=(),
        description="What must hold, besides what always must, before the running release is"
        " touched. Each item passes or is waived by a named person.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    rehearsal: RehearsalPolicy = Field(
        default=RehearsalPolicy(), description="The release trades on paper before it may trade."
    )
    guardrails: Guardrails = Field(
        default=Guardrails(), description="Limits that the release must keep to."
    )
    baseline: BaselinePolicy = Field(
        default=BaselinePolicy(),
        description="What is measured of the running release before it is touched, to compare"
        " with.",
    )
    bake: Duration = Field(
        default="5m",
        description="Time that must be verified as good before the release is promoted. Seconds in"
        " which the guard could not see the runner don't count.",
    )
    halt_deadline: Duration = Field(
        default="1m",
        description="Time for the running release to cancel its orders and drain before it is"
        " stopped.",
    )
    switch_deadline: Duration = Field(
        default="5m",
        description="Time for the new release's pod to become ready; rolled back after it.",
    )
    rollback: Rollback = Field(default=Rollback(), description="How it is rolled back.")
    on_inconclusive: OnInconclusive = Field(
        default=OnInconclusive.HOLD,
        description="What follows when the guard can't tell, e.g. because Prometheus is down: Hold"
        " waits for evidence, Rollback goes back after switchDeadline without any.",
    )
