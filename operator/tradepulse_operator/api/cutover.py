"""ReleaseCutover: one move of one runner from its active release to a target, and its record."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.config import JsonDict

from .approvals import SignedApprovals
from .base import Model, Rule, immutable, required, rule
from .baseline import Baseline, StreamsRecord
from .checklist import MOST_ITEMS, CheckRecord, Confirmation, Waiver
from .guardrails import CutoverPolicy
from .meta import Condition, Meta
from .rehearsal import RehearsalStatus
from .release import Release, ReleaseSpec
from .units import Instant, Message, RunnerName, Text

LONGEST_CUTOVER = 243
_NEW = "create a new ReleaseCutover"


def _kept(field: str) -> Rule:
    """What a person said stays as it was said."""
    return Rule(
        f"oldSelf.{field}.all(said, said in self.{field})",
        f"{field} can only grow: leave what was said as it is, and add to it",
        f".{field}",
        reason="FieldValueForbidden",
    )


_BY_CHECK: JsonDict = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["check"],
}


class ReleaseCutoverSpec(CutoverPolicy):
    """One move. Immutable but for `abort`, the sign-offs and what people say of the checklist."""

    cel: ClassVar[Sequence[Rule]] = (
        immutable("runner", _NEW, optional=True),
        immutable("release", f"{_NEW} for another release", optional=True),
        immutable("approvals.required", _NEW),
        immutable("checklist", _NEW),
        immutable("rehearsal", _NEW),
        immutable("guardrails", _NEW),
        immutable("baseline", _NEW),
        immutable("bake", _NEW),
        immutable("haltDeadline", _NEW),
        immutable("switchDeadline", _NEW),
        immutable("rollback", _NEW),
        immutable("onInconclusive", _NEW),
        Rule(
            "!oldSelf.abort || self.abort",
            f"abort can't be taken back: {_NEW}",
            ".abort",
            reason="FieldValueForbidden",
        ),
        _kept("confirmations"),
        _kept("waivers"),
    )

    runner: RunnerName = Field(
        description="Name of the TradingRunner in the same namespace.",
        json_schema_extra=required("name the TradingRunner that is moved"),
    )
    release: ReleaseSpec | None = Field(
        default=None, description="The target; the runner's spec.release when left out."
    )
    approvals: SignedApprovals = Field(
        default=SignedApprovals(), description="Sign-offs that it waits for, and those it has."
    )
    confirmations: Annotated[tuple[Confirmation, ...], Field(max_length=MOST_ITEMS)] = Field(
        default=(),
        description="Items of the checklist that people vouch for. Who may is a matter of RBAC, see"
        " docs/security.md.",
        json_schema_extra=_BY_CHECK,
    )
    waivers: Annotated[tuple[Waiver, ...], Field(max_length=MOST_ITEMS)] = Field(
        default=(),
        description="Items of the checklist that someone goes on without. Who may is a matter of"
        " RBAC, see docs/security.md.",
        json_schema_extra=_BY_CHECK,
    )
    abort: bool = Field(
        default=False, description="Go back to the previous release now; can't be taken back."
    )


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
        default=None, description="Last instant of which the guard could tell anything, RFC 3339."
    )


class BackupRecord(Model):
    """The backup of the order state taken before the switch."""

    id: Text = Field(description="The backup's name on the state volume: the cutover's uid.")
    sha256: Text = Field(default="", description="Checksum of the backup's manifest.")
    files: int = Field(default=0, description="Number of files.")
    bytes: int = Field(default=0, description="Size, in bytes.")


class RollbackStatus(Model):
    """The way back, as far as it has come."""

    step: RollbackStep = Field(description="What is being done.")
    step_at: Instant = Field(description="When that step began, RFC 3339.")
    started_at: Instant = Field(description="When the rollback was decided, RFC 3339.")
    reason: Text = Field(description="CamelCase reason.")
    message: Message = Field(default="", description="The reason in words.")


class ReportRecord(Model):
    """Where the incident report is."""

    config_map: Text = Field(description="ConfigMap with the report; it outlives this object.")
    path: Text = Field(default="", description="The report's folder on the state volume.")
    captured_at: Instant = Field(description="When the evidence was collected, RFC 3339.")


class ReleaseCutoverStatus(Model):
    """How far the move has come, and what it was decided on."""

    observed_generation: int = Field(default=0, description="Generation this status speaks of.")
    phase: CutoverPhase | None = Field(default=None, description="Where the cutover is.")
    message: Message = Field(default="", description="What happens, or what it waits for.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Observations: Ready (finished well), Reconciling while it moves, Stalled when"
        " a person must decide; StreamsIntact at the end, where the runner has an event bus or a"
        " database.",
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
    rollback: RollbackStatus | None = Field(default=None, description="The way back.")
    verification: BakeStatus | None = Field(
        default=None, description="Checkpoint of the watch over the previous release, once back."
    )
    streams: StreamsRecord | None = Field(
        default=None,
        description="Event bus and database against the baseline, once rolled back or promoted.",
    )
    report: ReportRecord | None = Field(default=None, description="The incident report.")


class ReleaseCutover(Model):
    """One move of a runner to another release, and the record of it."""

    KIND: ClassVar[str] = "ReleaseCutover"
    PLURAL: ClassVar[str] = "releasecutovers"
    #: Not `rc`: to kubectl that is a ReplicationController, which comes first.
    SHORT: ClassVar[str] = "rco"

    cel: ClassVar[Sequence[Rule]] = (
        # The report is named after it, and a name holds 253 characters.
        rule(
            f"self.metadata.name.size() <= {LONGEST_CUTOVER}",
            f"metadata.name must not be longer than {LONGEST_CUTOVER} characters: shorten it",
            ".metadata.name",
            holds=lambda it: len(it.metadata.name) <= LONGEST_CUTOVER,
        ),
    )

    metadata: Meta
    spec: ReleaseCutoverSpec = Field(
        description="The move. Immutable but for abort, the sign-offs and what people say of the"
        " checklist.",
        json_schema_extra=required("name the runner to move, see manifests/samples"),
    )
    status: ReleaseCutoverStatus = Field(
        default=ReleaseCutoverStatus(), description="How far it has come. Written by the operator."
    )
