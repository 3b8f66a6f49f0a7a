"""ReleaseCutover: one move of one runner from its active release to a target, and its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.config import JsonDict

from tradepulse_operator.api.cutover_status import ReleaseCutoverStatus
from tradepulse_operator.api.policy import CutoverPolicy

from .approvals import SignedApprovals
from .base import Model, Rule, immutable, required, rule
from .checklist import MOST_ITEMS, Confirmation, Waiver
from .meta import Meta
from .release import ReleaseSpec
from .units import RunnerName

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
