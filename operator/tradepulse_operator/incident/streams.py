"""Event bus and database before the halt and when the report was written: Markdown, and raw."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tradepulse_operator.api.baseline import (
    KafkaBaseline,
    PartitionBaseline,
    PostgresBaseline,
    ReplicaBaseline,
)
from tradepulse_operator.controllers.cutover.baseline import kafka_of, partitions_of, postgres_of
from tradepulse_operator.controllers.data_services.compare import Compared, compare, reconfigured
from tradepulse_operator.controllers.data_services.kafka import lags
from tradepulse_operator.controllers.observed.data_services import BusView

from .evidence import Evidence
from .tables import bullets, cell, table

#: Rows of the table; everything is in streams.json.
_MOST_ROWS = 40

Partition = tuple[str, int]


def streams(evidence: Evidence) -> str:
    """Tables of before and now, and what differs."""
    (kafka, kafka_now), (postgres, postgres_now) = _kafka(evidence), _postgres(evidence)
    if not any((kafka, kafka_now, postgres, postgres_now)):
        return "Neither an event bus nor a database was reported."
    parts = [bullets(cell(line) for line in _sentences(evidence))]
    if kafka or kafka_now:
        parts.append(_offsets(kafka, kafka_now))
    if postgres or postgres_now:
        parts.append(_position(postgres, postgres_now))
    return "\n\n".join(parts)


def raw(evidence: Evidence, limit: int) -> str:
    """The same as JSON of at most `limit` bytes, with every offset and lag that fits; "" where
    there is nothing. Partitions that don't fit are counted."""
    (kafka, kafka_now), (postgres, postgres_now) = _kafka(evidence), _postgres(evidence)
    if not any((kafka, kafka_now, postgres, postgres_now)):
        return ""
    compared = _found(evidence)
    content: dict[str, Any] = {
        "before": {"kafka": _bus(kafka), "postgres": postgres and postgres.wire()},
        "now": {"kafka": _bus(kafka_now), "postgres": postgres_now and postgres_now.wire()},
        "differences": compared.differences,
        "remarks": compared.remarks,
        "unknown": compared.unknown,
    }
    while (
        len(text := json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()) > limit
    ):
        if not _shorten(content):
            return ""
    return text.decode()


def _bus(bus: KafkaBaseline | None) -> dict[str, Any] | None:
    if bus is None:
        return None
    partitions = [one.wire() | {"lag": dict(lags(one))} for one in bus.partitions]
    return bus.wire() | {"partitions": partitions}


def _shorten(content: dict[str, Any]) -> bool:
    """Leave the last quarter of the longer list of partitions out; False when there is none."""
    both = [part["kafka"] for part in (content["now"], content["before"]) if part["kafka"]]
    longest = max(both, key=lambda bus: len(bus["partitions"]), default=None)
    if longest is None or not longest["partitions"]:
        return False
    kept = longest["partitions"][: len(longest["partitions"]) * 3 // 4]
    longest["partitionsLeftOut"] += len(longest["partitions"]) - len(kept)
    longest["partitions"] = kept
    return True


def _kafka(evidence: Evidence) -> tuple[KafkaBaseline | None, KafkaBaseline | None]:
    before, process = evidence.cutover.status.baseline, evidence.process
    return before.kafka if before else None, _all_of(process.bus if process else None)


def _all_of(bus: BusView | None) -> KafkaBaseline | None:
    """A report has room for more partitions than a status."""
    kafka = kafka_of(bus) if bus else None
    if kafka is None or bus is None:
        return None
    every = {"partitions": partitions_of(bus), "partitions_left_out": bus.left_out}
    return kafka.model_copy(update=every)


def _postgres(evidence: Evidence) -> tuple[PostgresBaseline | None, PostgresBaseline | None]:
    before, process = evidence.cutover.status.baseline, evidence.process
    now = postgres_of(process.database) if process and process.database else None
    return before.postgres if before else None, now


def _found(evidence: Evidence) -> Compared:
    """As it was recorded at the end, else as it is now."""
    cutover = evidence.cutover
    ended, before = cutover.status.streams, cutover.status.baseline
    if ended is not None:
        more = ended.differences_left_out
        left = (f"{more} further differences are not listed",) if more else ()
        return Compared(ended.differences + left, ended.remarks, ended.unknown)
    if before is None:
        return Compared()
    # Until the end it is the target that runs, and reports.
    config_changed = not evidence.final and reconfigured(cutover)
    policy = cutover.spec.baseline
    compared = compare(
        before, evidence.process, None, policy, evidence.at, config_changed=config_changed
    )
    return compared or Compared()


def _sentences(evidence: Evidence) -> Iterator[str]:
    compared = _found(evidence)
    yield from (f"Differs: {one}." for one in compared.differences)
    yield from (f"Changed: {one}." for one in compared.remarks)
    yield from (f"Not compared: {one}." for one in compared.unknown)
    if compared == Compared():
        yield "Nothing differs: offsets, positions and replicas are as before, or further on."


def _offsets(before: KafkaBaseline | None, now: KafkaBaseline | None) -> str:
    was = {(one.topic, one.partition): one for one in before.partitions} if before else {}
    seen = {(one.topic, one.partition): one for one in now.partitions} if now else {}
    rows = [row for at in sorted({*was, *seen}) for row in _rows(at, was.get(at), seen.get(at))]
    # What went backwards or is gone comes first, so that it is never among those left out.
    rows.sort(key=lambda row: row[0])
    left = len(rows) - _MOST_ROWS
    more = f"\n\n{left} more rows are in streams.json." if left > 0 else ""
    when = f"Kafka, asked at {before.at if before else 'no time'} before the halt, and at"
    head = ("Partition", "End before", "now", "Reader", "Committed before", "now", "Lag now")
    rows_shown = table(head, (row[1:] for row in rows[:_MOST_ROWS]))
    return f"{when} {now.at if now else 'no time'} when this was written:\n\n{rows_shown}{more}"


def _rows(
    at: Partition, was: PartitionBaseline | None, now: PartitionBaseline | None
) -> Iterator[tuple[str, ...]]:
    """A row a reader, or one without; the first column sorts."""
    ends = (was.end if was else None, now.end if now else None)
    readers = sorted({*(was.committed if was else ()), *(now.committed if now else ())})
    for reader in readers or [""]:
        pair = (
            was.committed.get(reader) if was else None,
            now.committed.get(reader) if now else None,
        )
        lag = dict(lags(now)).get(reader, "") if now else ""
        first = "0" if _backwards(*ends) or _backwards(*pair) else "1"
        name = f"{at[0]}/{at[1]}"
        yield first, name, *_cells(ends), reader, *_cells((*pair, lag))


def _backwards(before: int | None, now: int | None) -> bool:
    return before is not None and (now is None or now < before)


def _cells(values: Iterable[object]) -> Iterator[str]:
    yield from ("" if one is None else str(one) for one in values)


def _position(before: PostgresBaseline | None, now: PostgresBaseline | None) -> str:
    both = (before, now)

    def row(name: str, field: str) -> tuple[str, ...]:
        return name, *_cells(getattr(one, field) if one else None for one in both)

    rows = [
        row("Asked at", "at"),
        row("Problem", "problem"),
        row("Primary", "primary"),
        row("System identifier", "system"),
        row("Timeline", "timeline"),
        row("End of the WAL", "lsn"),
        row("Rows of the audit trail", "audit_rows"),
    ]
    hosts = sorted({one.host for part in both if part for one in part.replicas})
    rows += [(f"Replica {host}", *(_replica(part, host) for part in both)) for host in hosts]
    return "PostgreSQL:\n\n" + table(("", "Before the halt", "When this was written"), rows)


def _replica(postgres: PostgresBaseline | None, host: str) -> str:
    one = (
        next((each for each in postgres.replicas if each.host == host), None) if postgres else None
    )
    return _lag(one) if one else ""


def _lag(one: ReplicaBaseline) -> str:
    seconds = "unknown" if one.lag_seconds is None else f"{one.lag_seconds:g} s"
    size = "unknown" if one.lag_bytes is None else f"{one.lag_bytes} bytes"
    return f"behind by {seconds}, {size}" + (f"; {one.problem}" if one.problem else "")
