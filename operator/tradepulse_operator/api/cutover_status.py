"""How far a cutover has come, and what it was decided on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model
from tradepulse_operator.api.baseline import Baseline, StreamsRecord
from tradepulse_operator.api.checklist import MOST_ITEMS, CheckRecord
from tradepulse_operator.api.meta import Condition
from tradepulse_operator.api.rehearsal import RehearsalStatus
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.units import Instant, Message, Text


class CutoverPhase(StrEnum):
    """Where a cutover is."""

    PENDING = "Pending"
    PREFLIGHT = "Preflight"
    AWAITING_APPROVAL = "AwaitingApproval"
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


class RollbackStep(StrEnum):
    """Where a rollback is."""

    HALTING = "Halting"
    COLLECTING_EVIDENCE = "CollectingEvidence"
    STOPPING = "Stopping"
    STARTING = "Starting"


class PhaseRecord(Model):
    """When a phase was entered."""

    phase: CutoverPhase = Field(description="The phase.")
    at: Instant = Field(description="When it was entered, RFC 3339 with microseconds.")
    message: Message = Field(default="", description="Why it was entered.")


class VerdictKind(StrEnum):
    """What the guard found; four different things."""

    OK = "ok"
    BREACH = "breach"
    GAP = "gap"
    UNKNOWN = "unknown"


class VerdictRecord(Model):
    """A judgement of the guard, as it was persisted before it was acted on."""

    verdict: VerdictKind = Field(description="ok, breach, gap or unknown.")
    guardrail: Text = Field(default="", description="The guardrail that decided it.")
    value: float | None = Field(default=None, description="What was measured.")
    limit: float | None = Field(default=None, description="What is allowed.")
    at: Instant = Field(description="Instant that was judged, RFC 3339.")
    message: Message = Field(default="", description="The finding in words.")


class BakeStatus(Model):
    """A checkpoint of the bake; the guard re-derives what came after it from the samples."""

    started_at: Instant = Field(description="When watching began, RFC 3339.")
    evaluated_until: Instant = Field(description="Up to when samples were judged, RFC 3339.")
    verified_seconds: float = Field(default=0, description="Seconds seen to be good.")
    consecutive: int = Field(default=0, description="Breaches or gaps in a row.")
    requests: float = Field(default=0, description="Order requests seen so far.")
    failed: float = Field(default=0, description="Those of them that failed.")
    timed: float = Field(default=0, description="Order requests whose latency was seen.")
    slow: float = Field(
        default=0,
        description="Those of them that took longer than p95Latency, or than the baseline's limit"
        " where that is lower, interpolated in their bucket.",
    )
    evidence_at: Instant | None = Field(
        default=None, description="Last instant that the guard could judge, RFC 3339."
    )


class BackupRecord(Model):
    """The backup of the order state taken before the switch."""

    id: Text = Field(description="The backup's name on the state volume: the cutover's uid.")
    sha256: Text = Field(default="", description="Checksum of the backup's manifest.")
    files: int = Field(default=0, description="Number of files.")
    bytes: int = Field(default=0, description="Size, in bytes.")


class RollbackStatus(Model):
    """Progress of a rollback."""

    step: RollbackStep = Field(description="What is being done.")
    step_at: Instant = Field(description="When that step began, RFC 3339.")
    started_at: Instant = Field(description="When the rollback was decided, RFC 3339.")
    reason: Text = Field(description="CamelCase reason.")
    message: Message = Field(default="", description="The reason in words.")
    nonce: Text = Field(
        default="",
        description="Random text, made when the new release's pod was gone: a restore of the order"
        " state counts as this rollback's only with it.",
    )


class ReportRecord(Model):
    """Where the incident report is."""

    config_map: Text = Field(description="ConfigMap with the report; it outlives this object.")
    path: Text = Field(default="", description="The report's folder on the state volume.")
    captured_at: Instant = Field(description="When the evidence was collected, RFC 3339.")
    head: Text = Field(
        default="",
        description="Newest hash of the report's chain, as the operator filed it: a ConfigMap with"
        " another one isn't the report.",
    )
    stage: Text = Field(
        default="", description="evidence, or final once the outcome is in it, too."
    )


class ReleaseCutoverStatus(Model):
    """How far the move has come, and what it was decided on."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: CutoverPhase | None = Field(default=None, description="Where the cutover is.")
    message: Message = Field(default="", description="What happens, or what it waits for.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Observations: Ready (finished well), Reconciling while it moves, Stalled when"
        " a person must decide; Drained, False where a release was ended before it had cancelled"
        " its orders; StateRestored once the previous release is back; StreamsIntact at the end,"
        " where the runner has an event bus or a database.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    source: Release | None = Field(default=None, description="The release it moves away from.")
    target: Release | None = Field(default=None, description="The release it moves to.")
    started_at: Instant | None = Field(default=None, description="When it began, RFC 3339.")
    finished_at: Instant | None = Field(default=None, description="When it ended, RFC 3339.")
    phases: Annotated[tuple[PhaseRecord, ...], Field(max_length=64)] = Field(
        default=(), description="Every phase it entered, oldest first."
    )
    checklist: Annotated[tuple[CheckRecord, ...], Field(max_length=2 * MOST_ITEMS + 1)] = Field(
        default=(), description="What became of each item of the checklist."
    )
    rehearsal: RehearsalStatus | None = Field(
        default=None, description="What the rehearsal showed."
    )
    backup: BackupRecord | None = Field(default=None, description="Backup of the order state.")
    baseline: Baseline | None = Field(
        default=None, description="The runner as it was before its release was halted."
    )
    bake: BakeStatus | None = Field(default=None, description="Checkpoint of the bake.")
    verdict: VerdictRecord | None = Field(
        default=None, description="The guard's last verdict that mattered."
    )
    rollback: RollbackStatus | None = Field(default=None, description="Progress of the rollback.")
    verification: BakeStatus | None = Field(
        default=None,
        description="Checkpoint of the watch over the release that was rolled back to.",
    )
    streams: StreamsRecord | None = Field(
        default=None,
        description="Event bus and database against the baseline, once rolled back or promoted.",
    )
    report: ReportRecord | None = Field(default=None, description="The incident report.")
