"""Append-only journal of one venue's OMS: ``{venue}_journal.{number}``.

A log of ``segments`` that begin with ``MAGIC`` and hold JSON. Its records precede
orders: after a failed write or sync nothing is written any more, and a damaged segment moves to a
folder of the caller's and is listed in :class:`Recovery`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files import segments
from tradepulse_runner.files.schema import JOURNAL
from tradepulse_runner.files.segments import Scan, SegmentLog, number_of
from tradepulse_runner.files.snapshot import Step, no_fault

#: Head of a segment that this release writes: three letters and the schema.
MAGIC = b"TPJ" + bytes([JOURNAL.number])
Record = dict[str, Any]


def scan(data: bytes, *, name: str = "journal") -> Scan[Record]:
    """Read a segment's bytes; never raises on damage, raises
    :class:`~tradepulse_runner.errors.SchemaTooNew`. Every schema up to this release's is read."""
    headed = len(data) >= len(MAGIC) and data[:3] == MAGIC[:3] and data[3] > 0
    if headed:
        JOURNAL.require(data[3], name)
    frame = segments.scan(data, data[: len(MAGIC)] if headed else MAGIC)
    records = [(seq, json.loads(payload)) for seq, payload in frame.records]
    return Scan(records, frame.good_bytes, frame.torn_bytes, frame.damaged)


def list_segments(directory: Path, venue: str) -> list[Path]:
    """Segments of ``venue``, oldest first."""
    return segments.list_segments(directory, f"{venue}_journal")


@dataclass(frozen=True, slots=True)
class Recovery:
    """Outcome of opening a journal. ``quarantined`` are damaged segments, kept as evidence;
    ``segments`` are the others with their last sequence number (0: none); ``missing`` counts
    sequence numbers that no segment contains although later ones are there."""

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
        self._log = SegmentLog(
            directory,
            f"{venue}_journal",
            digits=8,
            magic=MAGIC,
            fsync=fsync,
            steps="journal",
            step=step,
        )
        self._failed: str | None = None
        self._lock = asyncio.Lock()
        # One thread: syncs of one file cannot overtake each other.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"fsync-{venue}")

    @property
    def seq(self) -> int:
        """Sequence number of the last appended record."""
        return self._log.seq

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
        for path, scanned in scans:
            torn += scanned.torn_bytes
            for seq, record in scanned.records:
                if seq > last:
                    missing += seq - last - 1
                    records.append((seq, record))
                    last = seq
            if scanned.damaged:
                target = quarantine / path.name
                os.replace(path, target)
                moved.append(target)
            else:
                kept.append((path, scanned.records[-1][0] if scanned.records else 0))
        self._log.start(last, number_of(scans[-1][0]) + 1 if scans else 1)
        self._log.sync()
        return Recovery(records, torn, moved, kept, missing)

    @property
    def failed(self) -> bool:
        """Whether a write failed; nothing is written after it."""
        return self._failed is not None

    def append(self, record: Record) -> int:
        """Hand ``record`` to the kernel (survives kill -9; :meth:`sync` for power loss)."""
        self._require_sound()
        try:
            return self._log.append(json.dumps(record, separators=(",", ":")).encode())
        except OSError as exc:
            raise self._fail("write", exc) from exc

    async def sync(self) -> None:
        """Return once everything appended so far is on disk; concurrent callers share a sync."""
        target = self.seq
        async with self._lock:
            if self._log.synced < target:
                await self._sync_now()

    async def rotate(self) -> list[Path]:
        """Start a new segment; returns the older ones, deletable once a snapshot covers them."""
        async with self._lock:
            await self._sync_now()
            # Records that came during the sync belong to the segment that is about to be closed.
            while self._log.unsynced:
                await self._sync_now()
            older = self.segments()
            try:
                self._log.begin(number_of(self._log.segments[-1].path) + 1)
                self._log.sync()
            except (OSError, DurabilityLost) as exc:
                raise self._fail("rotate", exc) from exc
            return older

    def close(self) -> None:
        self._log.close()
        self._pool.shutdown(wait=False)

    async def _sync_now(self) -> None:
        self._require_sound()
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._log.sync)
        except DurabilityLost as exc:
            raise self._fail("fsync", exc) from exc

    def _require_sound(self) -> None:
        if self._failed:
            raise DurabilityLost(self._failed)

    def _fail(self, what: str, exc: Exception) -> DurabilityLost:
        self._failed = f"{self._venue} journal: {what} failed: {exc}; trading stops until restart"
        return DurabilityLost(self._failed)
