"""A rehearsal: the target release trades on paper before it may trade at all."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model
from .checklist import CheckResult
from .units import Duration, Instant, Message, Text


class RehearsalPolicy(Model):
    """Whether, and for how long, a release is rehearsed."""

    required: bool = Field(
        default=False,
        description="Run the target release and its configuration on paper venues first, in a pod"
        " of its own without credentials, state or lease. It is an item of the checklist.",
    )
    duration: Duration = Field(default="5m", description="Time for which it has to trade.")
    min_orders: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20,
        description="Orders that must have been answered by then; guardrails.errorRate and"
        " guardrails.p95Latency hold for them.",
    )


class RehearsalStatus(Model):
    """What a rehearsal showed."""

    pod: Text = Field(description="Uid of its pod; another pod begins anew.")
    started_at: Instant = Field(description="When it was seen trading, RFC 3339.")
    finished_at: Instant | None = Field(default=None, description="When it was judged, RFC 3339.")
    image_id: Text | None = Field(default=None, description="Digest of the image that ran.")
    orders: int = Field(default=0, description="Orders that were answered or given up.")
    failed: int = Field(default=0, description="Those of them that failed.")
    p95_milliseconds: float | None = Field(
        default=None, description="95th percentile of their latency, as the process reports it."
    )
    result: CheckResult | None = Field(default=None, description="Pass or Fail, once it is known.")
    message: Message = Field(default="", description="The result in words.")
