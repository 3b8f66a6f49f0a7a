"""The audit trail in the database: one hash chain per runner, each record exactly once.

The spool's position is stored in the transaction that appends. After a crash between commit and
acknowledgement nothing is sent twice; after the database lost records (failover to a lagging
replica, restored backup) its position is older as well, and the records are sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tradepulse_runner.database.connection import Connection
from tradepulse_runner.files.snapshot import canonical

#: What the first record names as the digest before it.
GENESIS = "0" * 64
COLUMNS = (
    "runner", "seq", "record_id", "at", "epoch", "source", "kind", "body", "previous", "digest",
)  # fmt: skip
_HEAD = """
SELECT h.seq, h.digest, coalesce(p.position, 0) AS position
FROM tradepulse.audit_heads h
LEFT JOIN tradepulse.audit_positions p ON p.runner = h.runner AND p.origin = $2
WHERE h.runner = $1 FOR UPDATE OF h
"""
_POSITION = """
INSERT INTO tradepulse.audit_positions (runner, origin, position) VALUES ($1, $2, $3)
ON CONFLICT (runner, origin) DO UPDATE SET position = excluded.position
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the spool. ``id``: unique per occurrence; ``at`` unix seconds; ``body``:
    JSON."""

    id: str
    at: float
    epoch: int
    source: str
    kind: str
    body: str

    def to_bytes(self) -> bytes:
        """Serialized form in the spool."""
        return canonical([self.id, self.at, self.epoch, self.source, self.kind, self.body])

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry:
        return cls(*json.loads(data))


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain; ``position``: last record of the spool that is in it."""

    seq: int
    digest: str
    position: int


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of a row: its content, number and the previous digest."""
    content = [row[name] for name in COLUMNS[:-1]]
    return hashlib.sha256(canonical(content)).hexdigest()


async def head(connection: Connection, runner: str, origin: str) -> Head:
    """The current end of the chain of ``runner``."""
    row = await connection.fetchrow(_HEAD.replace("FOR UPDATE OF h", ""), runner, origin)
    return Head(**dict(row)) if row else Head(0, GENESIS, 0)


async def append(
    connection: Connection, runner: str, origin: str, entries: Sequence[tuple[int, Entry]]
) -> tuple[Head, int]:
    """Append ``entries`` (number in the spool, record), in one transaction; records that
    exist already are skipped. Returns the chain's new end and how many were new."""
    async with connection.transaction():
        end = await _lock(connection, runner, origin)
        fresh = [(number, each) for number, each in entries if number > end.position]
        existing = await _existing_ids(connection, runner, [each.id for _, each in fresh])
        unique = {each.id: each for _, each in fresh if each.id not in existing}
        rows = await asyncio.to_thread(_chain, runner, end, list(unique.values()))
        if rows:
            await connection.copy_records_to_table(
                "audit_records", schema_name="tradepulse", columns=COLUMNS, records=rows
            )
            end = Head(rows[-1][1], rows[-1][-1], end.position)
            await connection.execute(
                "UPDATE tradepulse.audit_heads SET seq = $2, digest = $3 WHERE runner = $1",
                *(runner, end.seq, end.digest),
            )
        position = max(end.position, entries[-1][0])
        await connection.execute(_POSITION, runner, origin, position)
    return Head(end.seq, end.digest, position), len(rows)


async def _lock(connection: Connection, runner: str, origin: str) -> Head:
    """The end of the chain, locked until the transaction ends."""
    row = await connection.fetchrow(_HEAD, runner, origin)
    if row is None:
        await connection.execute(
            "INSERT INTO tradepulse.audit_heads (runner, seq, digest) VALUES ($1, 0, $2)"
            " ON CONFLICT DO NOTHING",
            *(runner, GENESIS),
        )
        row = await connection.fetchrow(_HEAD, runner, origin)
    assert row is not None
    return Head(**dict(row))


async def _existing_ids(connection: Connection, runner: str, ids: Sequence[str]) -> set[str]:
    rows = await connection.fetch(
        "SELECT record_id FROM tradepulse.audit_records"
        " WHERE runner = $1 AND record_id = ANY($2::text[])",
        *(runner, ids),
    )
    return {row["record_id"] for row in rows}


def _chain(runner: str, end: Head, entries: Sequence[Entry]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    seq, previous = end.seq, end.digest
    for each in entries:
        seq += 1
        content = (
            runner, seq, each.id, each.at, each.epoch, each.source, each.kind, each.body, previous,
        )  # fmt: skip
        previous = digest_of(dict(zip(COLUMNS, content, strict=False)))
        rows.append((*content, previous))
    return rows


async def problems(
    connection: Connection, runner: str, anchor: tuple[int, str] | None = None
) -> AsyncIterator[str]:
    """Yields a message for each record of ``runner`` that is missing or changed.

    ``anchor``: number and digest of a record from another source, the runner's own spool. Without
    it, a chain that was truncated together with ``audit_heads`` is not detected.
    """
    seq, previous, anchored = 0, GENESIS, anchor is None
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(
            f"SELECT {', '.join(COLUMNS)} FROM tradepulse.audit_records"
            " WHERE runner = $1 ORDER BY seq",
            runner,
            prefetch=1000,
        ):
            if row["seq"] != seq + 1 or row["previous"] != previous:
                yield f"record {row['seq']}: does not follow {seq}: records are missing or changed"
            if row["digest"] != digest_of(row):
                yield f"record {row['seq']}: its digest does not fit: it was changed"
            seq, previous = row["seq"], row["digest"]
            anchored = anchored or (seq, previous) == anchor
        end = await head(connection, runner, "")
    if (end.seq, end.digest) != (seq, previous):
        yield f"the chain ends with record {seq}, but was written up to {end.seq}"
    if not anchored and anchor:
        yield f"record {anchor[0]}: the runner remembers another digest, or it is missing"
