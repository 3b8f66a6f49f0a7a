"""The runner's own past as a measure of the new release: what is asked for and what was found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, rule
from .units import Duration, Instant, seconds

LONGEST_BASELINE = "1h"


class OwnBaseline(Model):
    """How much worse than the running release the new one may be."""

    cel = (
        rule(
            "has(self.errorRateIncrease) || has(self.p95Increase)",
            "baseline needs something to compare: set errorRateIncrease, p95Increase or both",
            holds=lambda it: it.error_rate_increase is not None or it.p95_increase is not None,
        ),
        rule(
            "duration(self.window) >= duration('1m')"
            f" && duration(self.window) <= duration('{LONGEST_BASELINE}')",
            f"baseline.window must be from 1m to {LONGEST_BASELINE}: raise or lower window",
            ".window",
            holds=lambda it: 60 <= seconds(it.window) <= seconds(LONGEST_BASELINE),
        ),
    )

    window: Duration = Field(
        default="10m",
        description="Span before the halt that the running release is measured over, 1m to 1h.",
    )
    error_rate_increase: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Share of order requests that may fail in addition to the running release's"
        " own, e.g. 0.005.",
    )
    p95_increase: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="Part by which the 95th percentile may be above the running release's own,"
        " e.g. 0.5 for half as long again.",
    )


class BaselineStatus(Model):
    """The running release as it was measured before it was halted, and the limits that follow.

    A limit is left out where too few requests, or doubtful samples, allow none: then the absolute
    one holds alone.
    """

    at: Instant = Field(description="End of the window, RFC 3339.")
    window: Duration = Field(description="Its length.")
    requests: float = Field(default=0, description="Order requests in it.")
    failed: float = Field(default=0, description="Those of them that failed.")
    timed: float = Field(default=0, description="Those whose latency was seen.")
    p95_latency: float | None = Field(default=None, description="Their 95th percentile, seconds.")
    error_rate_limit: float | None = Field(
        default=None, description="Share of requests that the new release may fail by this."
    )
    p95_limit: float | None = Field(
        default=None, description="95th percentile that it may reach by this, seconds."
    )
