"""The volume that holds the order-management state."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tradepulse_operator.api.base import Model, Rule, immutable
from tradepulse_operator.api.spec.object_store import ObjectStore
from tradepulse_operator.api.units import ObjectName, Quantity


class Reclaim(StrEnum):
    """What becomes of the state volume when the runner is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Backups(Model):
    """Backups of the order state."""

    keep: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Backups kept on the state volume."
    )
    object_store: ObjectStore | None = Field(
        default=None,
        description="Bucket that backups and incident reports are copied to; they stay on the"
        " volume alone when left out.",
    )


class State(Model):
    """The volume that holds the order-management state."""

    cel = (
        Rule(
            "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            "size can only grow, a volume never shrinks: write the old size or a larger one",
            ".size",
            reason="FieldValueForbidden",
        ),
        immutable("storageClass", "create a new runner to move its state", optional=True),
        immutable("accessMode", "create a new runner to move its state"),
    )

    size: Quantity = Field(default="1Gi", description="Size of the volume; it can only grow.")
    storage_class: ObjectName | None = Field(
        default=None, description="Storage class; the cluster's default when left out."
    )
    access_mode: Literal["ReadWriteOncePod", "ReadWriteOnce"] = Field(
        default="ReadWriteOncePod",
        description="ReadWriteOncePod keeps a second pod from the state; ReadWriteOnce only where"
        " the storage driver can't do that.",
    )
    reclaim: Reclaim = Field(
        default=Reclaim.RETAIN,
        description="Retain keeps the volume when the runner is deleted, Delete removes it.",
    )
    backups: Backups = Field(default=Backups(), description="Backups of the order state.")
