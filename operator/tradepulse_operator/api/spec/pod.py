"""Where and how a runner's pod runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tradepulse_operator.api.base import Model, rule
from tradepulse_operator.api.units import Cpu, LabelKey, Labels, LabelValue, ObjectName, Quantity


class Resources(Model):
    """Compute resources of the runner's container."""

    cpu: Cpu = Field(
        default="100m", description="CPU request; there is no CPU limit, which would add latency."
    )
    memory: Quantity = Field(default="256Mi", description="Memory request and limit.")


class Toleration(Model):
    """Taint that the pod tolerates."""

    cel = (
        rule(
            "self.operator == 'Exists' || has(self.key)",
            "key is required with operator Equal: name the taint, or write operator Exists",
            ".key",
            holds=lambda it: it.operator == "Exists" or it.key is not None,
        ),
        rule(
            "self.operator == 'Equal' || !has(self.value)",
            "value must be left out with operator Exists: remove it, or write operator Equal",
            ".value",
            holds=lambda it: it.operator == "Equal" or it.value is None,
        ),
    )

    key: LabelKey | None = Field(default=None, description="Key of the taint.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="Equal or Exists.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; every effect when left out."
    )


class Pod(Model):
    """Where and how the runner's pod runs; a change takes effect with the next restart."""

    resources: Resources = Field(default=Resources(), description="Compute resources.")
    node_selector: Labels = Field(default={}, description="Labels that the node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints that the pod tolerates."
    )
    image_pull_secrets: Annotated[tuple[ObjectName, ...], Field(max_length=8)] = Field(
        default=(), description="Secrets for pulling the image."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=60, description="Time to cancel orders and flush the state before SIGKILL."
    )
