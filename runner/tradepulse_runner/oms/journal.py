"""Append-only journal of one venue's OMS: ``{venue}_journal.{number}``.

A segment starts with ``MAGIC`` and holds ``frames`` of JSON. Sequence numbers rise by one across
segments.

After a crash two kinds of damage exist and must not be confused. A *torn tail*: the last frame
is incomplete, it was never synced, it is cut. *Damage in the middle*: good frames follow a bad
one, so synced records are gone; the segment is kept as evidence and the caller is told.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.frames import any_frame, frame, frame_at
from tradepulse_runner.files.schema import JOURNAL
from tradepulse_runner.files.snapshot import Step, fsync_dir, no_fault

#: Head of a segment that this release writes: three letters and the schema.
MAGIC = b"TPJ" + bytes([JOURNAL.number])
Record = dict[str, Any]


@dataclass(slots=True)
class Scan:
    """What one segment holds: good records, where the good part ends, and what follows it."""

    records: list[tuple[int, Record]] = field(default_factory=list)
    good_bytes: int = 0
    torn_bytes: int = 0
    damaged: bool = False


def scan(data: bytes, *, name: str = "journal") -> Scan:
    """Read a segment's bytes; never raises on damage, raises
    :class:`~tradepulse_runner.errors.SchemaTooNew`."""
    result = Scan()
    headed = len(data) >= len(MAGIC) and data[:3] == MAGIC[:3] and data[3] > 0
    if headed:
        JOURNAL.require(data[3], name)
    else:
        result.torn_bytes = len(data)
        result.damaged = len(data) >= len(MAGIC) and any_frame(data, 0)
        return result
    offset = result.good_bytes = len(MAGIC)
    while (found := frame_at(data, offset)) is not None:
        seq, payload, offset = found
        result.records.append((seq, json.loads(payload)))
        result.good_bytes = offset
    result.torn_bytes = len(data) - offset
    result.damaged = result.torn_bytes > 0 and any_frame(data, offset + 1)
    return result


@dataclass(frozen=True, slots=True)
class Recovery:
    """Outcome of opening a journal. ``quarantined`` are damaged segments, kept as evidence;
    ``segments`` are the others with their last sequence number (0: none); ``missing`` counts
    sequence numbers that no segment holds although later ones are there."""

    records: list[tuple[int, Record]]
    torn_bytes: int
    quarantined: list[Path]
    segments: list[tuple[Path, int]]
    missing: int = 0


class Journal:
    """Writer of one venue's journal. One event loop, one writer."""

    def __init__(
        self,
        directory: Path,
        venue: str,
        *,
        fsync: Callable[[int], None] = os.fsync,
        step: Step = no_fault,
    ) -> None:
        self._directory = directory
        self._venue = venue
        self._fsync = fsync
        self._step = step
        self._fd = -1
        self._number = 0
        self._seq = 0
        self._synced = 0
        self._failed: str | None = None
        self._lock = asyncio.Lock()
        # One thread: syncs of one file cannot overtake each other.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"fsync-{venue}")

    @property
    def seq(self) -> int:
        """Sequence number of the last appended record."""
        return self._seq

    def segments(self) -> list[Path]:
        return list_segments(self._directory, self._venue)

    def recover(self, quarantine: Path, *, after: int = 0) -> Recovery:
        """Read every segment and open a new one for writing.

        Returns the records with ``seq > after``. Damaged segments move to ``quarantine``;
        records before the damage are still returned. Raises
        :class:`~tradepulse_runner.errors.SchemaTooNew` before anything was changed.
        """
        scans = [(path, scan(path.read_bytes(), name=str(path))) for path in self.segments()]
        records: list[tuple[int, Record]] = []
        torn, moved, kept, last, missing = 0, [], [], after, 0
        for path, found in scans:
            self._number = max(self._number, _number(path))
            torn += found.torn_bytes
            for seq, record in found.records:
                if seq > last:
                    missing += seq - last - 1
                    records.append((seq, record))
                    last = seq
            if found.damaged:
                target = quarantine / path.name
                os.replace(path, target)
                moved.append(target)
            else:
                kept.append((path, found.records[-1][0] if found.records else 0))
        self._seq = self._synced = last
        self._open_next()
        return Recovery(records, torn, moved, kept, missing)

    @property
    def failed(self) -> bool:
        """Whether a write failed; nothing is written after it."""
        return self._failed is not None

    def append(self, record: Record) -> int:
        """Hand ``record`` to the kernel (survives kill -9; :meth:`sync` for power loss)."""
        if self._failed:
            raise DurabilityLost(self._failed)
        data = frame(self._seq + 1, json.dumps(record, separators=(",", ":")).encode())
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(f"short write: {written} of {len(data)} bytes")
        except OSError as exc:
            raise self._fail("write", exc) from exc
        self._seq += 1
        return self._seq

    async def sync(self) -> None:
        """Return once everything appended so far is on disk; concurrent callers share a sync."""
        target = self._seq
        async with self._lock:
            if self._synced < target:
                await self._sync_now()

    async def rotate(self) -> list[Path]:
        """Start a new segment; returns the older ones, deletable once a snapshot covers them."""
        async with self._lock:
            await self._sync_now()
            # Records that came during the sync belong to the segment that is about to be closed.
            while self._synced < self._seq:
                await self._sync_now()
            os.close(self._fd)
            older = self.segments()
            try:
                self._open_next()
            except OSError as exc:
                raise self._fail("rotate", exc) from exc
            return older

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._pool.shutdown(wait=False)

    async def _sync_now(self) -> None:
        if self._failed:
            raise DurabilityLost(self._failed)
        upto = self._seq
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._fsync, self._fd)
        except OSError as exc:
            raise self._fail("fsync", exc) from exc
        self._synced = upto

    def _open_next(self) -> None:
        self._number += 1
        path = self._directory / f"{self._venue}_journal.{self._number:08d}"
        self._step("journal.create")
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._step("journal.magic")
        os.write(self._fd, MAGIC)
        self._fsync(self._fd)
        fsync_dir(self._directory)

    def _fail(self, what: str, exc: OSError) -> DurabilityLost:
        self._failed = f"{self._venue} journal: {what} failed: {exc}; trading stops until restart"
        return DurabilityLost(self._failed)


def list_segments(directory: Path, venue: str) -> list[Path]:
    """Segments of ``venue``, oldest first."""
    found = [p for p in directory.glob(f"{venue}_journal.*") if p.suffix[1:].isdigit()]
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    return int(path.suffix[1:])
