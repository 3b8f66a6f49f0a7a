"""The runner's own past as a measure of what follows: what is asked for, and what was measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, required, rule
from .units import Duration, Instant, Message, Text, seconds

LONGEST_BASELINE = "1h"
#: Positions that a status lists; 8 venues of 64 symbols would be too many.
MOST_POSITIONS = 64
#: Partitions that a status lists, and readers of each.
MOST_PARTITIONS = 64
MOST_READERS = 8
#: Servers that a runner's database may have.
MOST_REPLICAS = 8
#: Differences that a status lists, and likewise remarks.
MOST_DIFFERENCES = 16


class KafkaPolicy(Model):
    """What is asked of the event bus, before a release is touched and after it was moved."""

    max_lag: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        description="Records that a group of spec.eventBus.readers may be behind in a partition:"
        " above it the item kafka of the checklist fails, and StreamsIntact is False at the end.",
        json_schema_extra=required("write how many records a reader may be behind"),
    )


class PostgresPolicy(Model):
    """What is asked of the database's replicas, before a release is touched and after it was
    moved."""

    max_replica_lag: Duration = Field(
        description="Time that a replica of spec.database.hosts may be behind the primary: above it"
        " the item postgres of the checklist fails, and StreamsIntact is False at the end.",
        json_schema_extra=required("write how long a replica may be behind, e.g. 10s"),
    )


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
    kafka: KafkaPolicy | None = Field(
        default=None,
        description="Limit of the event bus; the runner needs spec.eventBus.readers. Offsets are"
        " recorded and compared without it, too.",
    )
    postgres: PostgresPolicy | None = Field(
        default=None,
        description="Limit of the database; the runner needs spec.database. Its position and"
        " replicas are recorded and compared without it, too.",
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


class PositionBaseline(Model):
    """One position. Decimals are strings."""

    venue: Text = Field(description="The venue.")
    symbol: Text = Field(description="The instrument.")
    quantity: Text = Field(description="Quantity of the position, below zero when short.")


class BookBaseline(Model):
    """The order book that the running release kept, in its own words."""

    generation: int = Field(default=0, description="Generation of its newest snapshot.")
    sha256: Text = Field(default="", description="Its checksum; empty before there is one.")
    positions: Annotated[tuple[PositionBaseline, ...], Field(max_length=MOST_POSITIONS)] = Field(
        default=(), description="Positions other than zero, by venue and symbol."
    )
    positions_left_out: int = Field(default=0, description="Further ones, too many for here.")


class PartitionBaseline(Model):
    """One partition of a topic."""

    topic: Text = Field(description="The topic.")
    partition: int = Field(description="Number of the partition.")
    end: int = Field(description="End offset: that of the next record.")
    committed: Annotated[dict[str, int], Field(max_length=MOST_READERS)] = Field(
        default={},
        description="Offset that each reader has committed, by consumer group; one that has"
        " committed none here is absent.",
    )


class KafkaBaseline(Model):
    """The event bus, as the running release saw it."""

    at: Instant = Field(description="When the brokers answered last, RFC 3339.")
    problem: Message = Field(default="", description="What was wrong with it; empty when nothing.")
    partitions: Annotated[tuple[PartitionBaseline, ...], Field(max_length=MOST_PARTITIONS)] = Field(
        default=(), description="Partitions, by topic and number."
    )
    partitions_left_out: int = Field(default=0, description="Further ones, too many for here.")


class ReplicaBaseline(Model):
    """Another server than the primary."""

    host: Text = Field(description="HOST:PORT, as in spec.database.hosts.")
    lag_bytes: int | None = Field(default=None, description="WAL that it lacks, in bytes.")
    lag_seconds: float | None = Field(default=None, description="Time that it is behind, seconds.")
    problem: Message = Field(default="", description="What is wrong with it; empty when nothing.")


class PostgresBaseline(Model):
    """The database, as the running release saw it."""

    at: Instant = Field(description="When it answered last, RFC 3339.")
    problem: Message = Field(default="", description="What was wrong with it; empty when nothing.")
    primary: Text | None = Field(default=None, description="HOST:PORT of the primary.")
    system: Text = Field(
        default="",
        description="Its system identifier; empty where the runner's role may not read it.",
    )
    timeline: int | None = Field(default=None, description="Its timeline.")
    lsn: Text = Field(default="", description="Where its WAL ended, e.g. 0/16B3748.")
    audit_rows: int | None = Field(default=None, description="Rows of this runner's audit trail.")
    replicas: Annotated[tuple[ReplicaBaseline, ...], Field(max_length=MOST_REPLICAS)] = Field(
        default=(), description="The other servers."
    )


class Baseline(Model):
    """The runner as it was in the last look before its release was halted. A part that could not be
    measured is left out."""

    at: Instant = Field(description="When it was measured, and end of the window, RFC 3339.")
    service: ServiceBaseline | None = Field(default=None, description="Its order requests.")
    book: BookBaseline | None = Field(default=None, description="Its orders and positions.")
    kafka: KafkaBaseline | None = Field(default=None, description="Its event bus.")
    postgres: PostgresBaseline | None = Field(default=None, description="Its database.")


class StreamsRecord(Model):
    """Event bus and database at the end of a move, against the baseline."""

    at: Instant = Field(description="When they were compared, RFC 3339.")
    differences: Annotated[tuple[Message, ...], Field(max_length=MOST_DIFFERENCES)] = Field(
        default=(), description="What is not as it has to be, in words: for a person to look at."
    )
    differences_left_out: int = Field(default=0, description="Further ones, too many for here.")
    remarks: Annotated[tuple[Message, ...], Field(max_length=MOST_DIFFERENCES)] = Field(
        default=(), description="What has changed and lost nothing."
    )
    unknown: Annotated[tuple[Message, ...], Field(max_length=2)] = Field(
        default=(), description="What could not be compared, and why."
    )
