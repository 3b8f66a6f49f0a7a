"""The runner's own past as a measure of what follows: what is asked for, and what was found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, rule
from .units import Duration, Instant, Text, seconds

LONGEST_BASELINE = "1h"
#: Positions that a status tells; 8 venues of 64 symbols would be too many.
MOST_POSITIONS = 64


class BaselinePolicy(Model):
    """What is measured of the running release before it is touched, and how much worse the new one
    may be."""

    cel = (
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
        description="Share of order requests that the new release may fail in addition to the"
        " running release's own, e.g. 0.005. guardrails.errorRate holds as well, and alone when"
        " this is left out.",
    )
    p95_increase: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="Part by which the new release's 95th percentile may be above the running"
        " release's own, e.g. 0.5 for half as long again. guardrails.p95Latency holds as well, and"
        " alone when this is left out.",
    )


class ServiceBaseline(Model):
    """Order requests of the running release in one window, and the limits that follow.

    A limit is left out where it wasn't asked for, and where too few requests, or doubtful samples,
    allow none: then the absolute one holds alone.
    """

    window: Duration = Field(description="Length of the window.")
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


class HeldPosition(Model):
    """One position. Decimals are strings."""

    venue: Text = Field(description="The venue.")
    symbol: Text = Field(description="The instrument.")
    quantity: Text = Field(description="What is held, below zero when sold short.")


class BookBaseline(Model):
    """The order book that the running release kept, in its own words."""

    generation: int = Field(default=0, description="Generation of its newest snapshot.")
    sha256: Text = Field(default="", description="Its checksum; empty before there is one.")
    positions: Annotated[tuple[HeldPosition, ...], Field(max_length=MOST_POSITIONS)] = Field(
        default=(), description="Positions other than zero, by venue and symbol."
    )
    positions_left_out: int = Field(default=0, description="Further ones, too many for here.")


class Baseline(Model):
    """The runner as it was in the last look before its release was halted. A part that could not be
    measured is left out."""

    at: Instant = Field(description="When it was measured, and end of the window, RFC 3339.")
    service: ServiceBaseline | None = Field(default=None, description="Its order requests.")
    book: BookBaseline | None = Field(default=None, description="Its orders and positions.")
