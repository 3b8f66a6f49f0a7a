"""ReleaseCutover: one move of one runner from its active release to a target, and its record."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model, immutable, rule
from .guardrails import CutoverPolicy
from .meta import Condition, Meta
from .release import Release, ReleaseSpec

_NEW = "create a new ReleaseCutover"


class ReleaseCutoverSpec(CutoverPolicy):
    """One move. Immutable but for `abort`."""

    cel = (
        immutable("runner", _NEW),
        immutable("release", f"{_NEW} for another release", optional=True),
        immutable("guardrails", _NEW),
        immutable("bake", _NEW),
        immutable("haltDeadline", _NEW),
        immutable("switchDeadline", _NEW),
        immutable("rollback", _NEW),
        immutable("onInconclusive", _NEW),
        rule(
            "!oldSelf.abort || self.abort",
            f"abort can't be taken back: {_NEW}",
            ".abort",
        ),
    )

    runner: Annotated[str, Field(min_length=1, max_length=52)] = Field(
        description="Name of the TradingRunner in the same namespace."
    )
    release: ReleaseSpec | None = Field(
        default=None, description="The target; the runner's spec.release when left out."
    )
    abort: bool = Field(
        default=False, description="Go back to the previous release now; can't be taken back."
    )


class CutoverPhase(StrEnum):
    """Where a cutover is."""

    PENDING = "Pending"
    PREFLIGHT = "Preflight"
    HALTING = "Halting"
    BACKING_UP = "BackingUp"
    SWITCHING = "Switching"
    BAKING = "Baking"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    VERIFYING = "Verifying"
    ROLLED_BACK = "RolledBack"
    HALTED = "Halted"
    FAILED = "Failed"


#: Phases after which nothing more happens by itself.
FINAL = frozenset(
    {CutoverPhase.SUCCEEDED, CutoverPhase.ROLLED_BACK, CutoverPhase.HALTED, CutoverPhase.FAILED}
)


class RollbackStep(StrEnum):
    """Where a rollback is."""

    HALTING = "Halting"
    COLLECTING_EVIDENCE = "CollectingEvidence"
    STOPPING = "Stopping"
    STARTING = "Starting"


class PhaseRecord(Model):
    """When a phase was entered."""

    phase: CutoverPhase = Field(description="The phase.")
    at: str = Field(description="When it was entered, RFC 3339 with microseconds.")
    message: str = Field(default="", max_length=1024, description="Why it was entered.")


class VerdictKind(StrEnum):
    """What the guard found; four different things."""

    OK = "ok"
    BREACH = "breach"
    GAP = "gap"
    UNKNOWN = "unknown"


class VerdictRecord(Model):
    """A judgement of the guard, as it was persisted before it was acted on."""

    verdict: VerdictKind = Field(description="ok, breach, gap or unknown.")
    guardrail: str = Field(default="", description="The guardrail that decided it.")
    value: float | None = Field(default=None, description="What was measured.")
    limit: float | None = Field(default=None, description="What is allowed.")
    at: str = Field(description="Instant that was judged, RFC 3339.")
    message: str = Field(default="", max_length=1024, description="The finding in words.")


class BakeStatus(Model):
    """A checkpoint of the bake; the guard re-derives what came after it from the samples."""

    started_at: str = Field(description="When watching began, RFC 3339.")
    evaluated_until: str = Field(description="Up to when samples were judged, RFC 3339.")
    verified_seconds: float = Field(default=0, description="Seconds seen to be good.")
    consecutive: int = Field(default=0, description="Breaches or gaps in a row.")


class BackupRecord(Model):
    """The backup of the order state taken before the switch."""

    id: str = Field(description="The backup's name on the state volume: the cutover's uid.")
    sha256: str = Field(default="", description="Checksum of the backup's manifest.")
    files: int = Field(default=0, description="Number of files.")
    bytes: int = Field(default=0, description="Size, in bytes.")


class RollbackStatus(Model):
    """The way back, as far as it has come."""

    step: RollbackStep = Field(description="What is being done.")
    step_at: str = Field(description="When that step began, RFC 3339.")
    started_at: str = Field(description="When the rollback was decided, RFC 3339.")
    reason: str = Field(description="CamelCase reason.")
    message: str = Field(default="", max_length=1024, description="The reason in words.")


class ReportRecord(Model):
    """Where the incident report is."""

    config_map: str = Field(description="ConfigMap with the report; it outlives this object.")
    path: str = Field(default="", description="The report's folder on the state volume.")
    captured_at: str = Field(description="When the evidence was collected, RFC 3339.")


class ReleaseCutoverStatus(Model):
    """How far the move has come, and what it was decided on."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: CutoverPhase | None = Field(default=None, description="Where the cutover is.")
    message: str = Field(
        default="", max_length=1024, description="What happens, or what it waits for."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Observations: Ready (finished well), Reconciling while it moves, Stalled when"
        " a person must decide.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    source: Release | None = Field(default=None, description="The release it moves away from.")
    target: Release | None = Field(default=None, description="The release it moves to.")
    started_at: str | None = Field(default=None, description="When it began, RFC 3339.")
    finished_at: str | None = Field(default=None, description="When it ended, RFC 3339.")
    phases: tuple[PhaseRecord, ...] = Field(
        default=(), description="Every phase it entered, oldest first."
    )
    backup: BackupRecord | None = Field(default=None, description="Backup of the order state.")
    bake: BakeStatus | None = Field(default=None, description="Checkpoint of the bake.")
    verdict: VerdictRecord | None = Field(
        default=None, description="The guard's last verdict that mattered."
    )
    rollback: RollbackStatus | None = Field(default=None, description="The way back.")
    report: ReportRecord | None = Field(default=None, description="The incident report.")


class ReleaseCutover(Model):
    """One move of a runner to another release."""

    KIND: ClassVar[str] = "ReleaseCutover"
    PLURAL: ClassVar[str] = "releasecutovers"

    metadata: Meta
    spec: ReleaseCutoverSpec
    status: ReleaseCutoverStatus = ReleaseCutoverStatus()
