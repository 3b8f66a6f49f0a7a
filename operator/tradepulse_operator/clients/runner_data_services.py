"""The parts of a runner's status on its event bus and its database.

Nothing that a rollback needs rests on them, so a part that can't be read is None and spoils nothing
else. What is read fits into a status: numbers into int64, texts into a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradepulse_operator.api import untrusted
from tradepulse_operator.api.untrusted import finite, mapping, whole
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
_LONGEST_TIME = 40


def bus(part: Any) -> BusView | None:
    """Part `bus`; None where there is none, or a release reports no offsets."""
    if not isinstance(part, Mapping) or "at" not in part:
        return None
    try:
        partitions = sorted((_partition(one) for one in part.get("partitions") or ()), key=_place)
        left_out = _maybe(part.get("partitions_left_out")) or 0
        return BusView(
            problem=_text(part.get("problem")),
            at=_at(part["at"]),
            partitions=tuple(partitions[:MOST_PARTITIONS]),
            left_out=min(untrusted.LARGEST, left_out + max(0, len(partitions) - MOST_PARTITIONS)),
        )
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return None


def database(part: Any) -> DatabaseView | None:
    """Part `database`; None where there is none, or a release reports no position."""
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
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return None


def _partition(one: Any) -> PartitionView:
    one = mapping(one)
    committed = sorted(mapping(one.get("committed")).items())[:_MOST_GROUPS]
    return PartitionView(
        topic=_text(one["topic"]),
        partition=whole(one["partition"]),
        end=whole(one["end"]),
        committed={_text(group): whole(offset) for group, offset in committed},
    )


def _place(one: PartitionView) -> tuple[str, int]:
    return one.topic, one.partition


def _replica(one: Any) -> ReplicaView:
    one = mapping(one)
    seconds = one.get("lag_seconds")
    return ReplicaView(
        host=_text(one["host"]),
        lag_bytes=_maybe(one.get("lag_bytes")),
        lag_seconds=None if seconds is None else finite(seconds),
        problem=_text(one.get("problem")),
    )


def _at(text: Any) -> float | None:
    """Unix seconds. Raises ValueError for what isn't a time, or can't be written as one again."""
    return None if text is None else finite(instant(untrusted.text(text, _LONGEST_TIME)))


def _text(value: Any) -> str:
    return "" if value is None else untrusted.text(value, _LONGEST)


def _maybe(value: Any) -> int | None:
    return None if value is None else whole(value)
