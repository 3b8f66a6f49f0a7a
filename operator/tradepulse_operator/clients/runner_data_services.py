"""The parts of a runner's status that tell of its event bus and its database.

Nothing that a rollback needs rests on them, so a part that can't be read is None and spoils nothing
else. What is read fits into a status: numbers into int64, texts into a line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    PartitionView,
    ReplicaView,
)

MOST_PARTITIONS = 256
_MOST_GROUPS = 8
_MOST_REPLICAS = 8
_LONGEST = 512
_MOST = 2**63 - 1


def bus(part: Any) -> BusView | None:
    """Part `bus`; None where there is none, or a release tells of no offsets."""
    if not isinstance(part, Mapping) or "at" not in part:
        return None
    try:
        told = sorted((_partition(one) for one in part.get("partitions") or ()), key=_place)
        left_out = _number(part.get("partitions_left_out") or 0)
        return BusView(
            problem=_text(part.get("problem")),
            at=_at(part["at"]),
            partitions=tuple(told[:MOST_PARTITIONS]),
            left_out=min(_MOST, left_out + max(0, len(told) - MOST_PARTITIONS)),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def database(part: Any) -> DatabaseView | None:
    """Part `database`; None where there is none, or a release tells of no position."""
    if not isinstance(part, Mapping) or "at" not in part:
        return None
    try:
        return DatabaseView(
            problem=_text(part.get("problem")),
            at=_at(part["at"]),
            primary=_text(part.get("primary")) or None,
            system=_text(part.get("system")),
            timeline=_maybe(part.get("timeline")),
            lsn=_text(part.get("lsn")),
            audit_rows=_maybe(part.get("audit_rows")),
            replicas=tuple(map(_replica, part.get("replicas") or ()))[:_MOST_REPLICAS],
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _partition(one: Mapping[str, Any]) -> PartitionView:
    committed = sorted((one.get("committed") or {}).items())[:_MOST_GROUPS]
    return PartitionView(
        topic=_text(one["topic"]),
        partition=_number(one["partition"]),
        end=_number(one["end"]),
        committed={_text(group): _number(offset) for group, offset in committed},
    )


def _place(one: PartitionView) -> tuple[str, int]:
    return one.topic, one.partition


def _replica(one: Mapping[str, Any]) -> ReplicaView:
    seconds = one.get("lag_seconds")
    return ReplicaView(
        host=_text(one["host"]),
        lag_bytes=_maybe(one.get("lag_bytes")),
        lag_seconds=None if seconds is None else _finite(float(seconds)),
        problem=_text(one.get("problem")),
    )


def _at(text: str | None) -> float | None:
    return None if text is None else instant(text)


def _text(value: Any) -> str:
    return str(value or "")[:_LONGEST]


def _maybe(value: Any) -> int | None:
    return None if value is None else _number(value)


def _number(value: Any) -> int:
    found = int(value)
    if not 0 <= found <= _MOST:
        raise ValueError(f"{found} is no offset or count")
    return found


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no time")
    return value
