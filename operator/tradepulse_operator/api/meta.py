"""Object metadata and conditions, as far as the operator reads them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .base import Model
from .units import Instant


class OwnerReference(Model):
    """Reference of a child to its owner."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Meta(Model):
    """Metadata of an object."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class ConditionStatus(StrEnum):
    """Truth value of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation of the object's state (Kubernetes API conventions, "typical status")."""

    type: str = Field(max_length=316, description="Kind of the condition, CamelCase.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="Why, as one CamelCase word.")
    message: str = Field(default="", max_length=32768, description="Why, for a person.")
    last_transition_time: Instant = Field(description="When status last changed, RFC 3339.")
    observed_generation: int = Field(
        default=0, description="Generation of the spec that this was said of."
    )
