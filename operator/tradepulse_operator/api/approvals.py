"""Who must sign a release off before it is moved to, and who did."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, required, rule, unique
from .units import Name, Text

#: Roles of one cutover at most.
MOST_ROLES = 8


class Approvals(Model):
    """Sign-offs that a cutover waits for."""

    required: Annotated[tuple[Name, ...], Field(max_length=MOST_ROLES)] = Field(
        default=(),
        description="Roles that must sign the release off before it is moved to, e.g. risk and"
        " platform; each by another person.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Grant(Model):
    """One person's signature in one role."""

    # The list's key: the API server wants it required in its own way, without a remedy.
    role: Name = Field(description="The role that is signed for, one of approvals.required.")
    by: Annotated[Text, Field(min_length=1)] = Field(
        description="Who signs: the name by which the API server knows the person.",
        json_schema_extra=required("name who signs, as in `kubectl auth whoami`"),
    )
    release: Annotated[Text, Field(min_length=1)] = Field(
        description="Id of the release that is signed, status.target.id. It stands for image and"
        " configuration: another of either is another release, and this doesn't count for it.",
        json_schema_extra=required("copy status.target.id of the cutover"),
    )
    image_id: Annotated[Text, Field(min_length=1)] | None = Field(
        default=None,
        description="Digest of the image that is signed, status.target.imageId. Needed where the"
        " checklist resolves the image: a tag that moved makes this void.",
    )


class SignedApprovals(Approvals):
    """Sign-offs that a cutover waits for, and those that it has."""

    cel = (
        rule(
            "self.granted.all(a, self.granted.exists_one(b, b.by == a.by))",
            "one person must not sign for two roles: let another person sign",
            ".granted",
            holds=lambda it: unique(grant.by for grant in it.granted),
        ),
    )

    granted: Annotated[tuple[Grant, ...], Field(max_length=MOST_ROLES)] = Field(
        default=(),
        description="Signatures. Who may sign in which role is a matter of RBAC, see"
        " docs/security.md.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["role"],
        },
    )
