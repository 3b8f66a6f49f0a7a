"""Event bus and database, as reported by the process that uses them. `at`: unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PartitionView:
    """One partition; `committed`: consumer group → offset, of those that have committed one."""

    topic: str
    partition: int
    end: int
    committed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BusView:
    """Kafka. `at`: when brokers reported the offsets last; None before they ever did."""

    #: Why brokers don't take the events; "" when they do.
    problem: str = ""
    at: float | None = None
    #: By topic and number.
    partitions: tuple[PartitionView, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class ReplicaView:
    """A server that isn't the primary. A lag is None where it isn't known."""

    host: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class DatabaseView:
    """PostgreSQL. `at`: when it answered last; None before it ever did."""

    #: Why it lacks records; "" when it takes them.
    problem: str = ""
    at: float | None = None
    primary: str | None = None
    #: System identifier; "" where the runner's role may not read it.
    system: str = ""
    timeline: int | None = None
    lsn: str = ""
    #: Rows of this runner's audit trail.
    audit_rows: int | None = None
    replicas: tuple[ReplicaView, ...] = ()
