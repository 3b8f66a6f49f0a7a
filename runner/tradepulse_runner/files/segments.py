"""A log of framed records in numbered files, ``<name>.<number>``: what journal, spool and outbox
are made of.

Records are appended to the newest segment, with sequence numbers that rise by one across segments.
An append is one write to the kernel, which a kill -9 can't undo; a power cut can, until
:meth:`SegmentLog.sync`.

After a crash two kinds of damage exist and must not be confused. A *torn tail*: the last frame is
incomplete, it was never acknowledged, so it may be cut. *Damage in the middle*: good frames follow
a bad one, so acknowledged records are lost; the bytes are kept as evidence.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.frames import any_frame, frame, frame_at
from tradepulse_runner.files.snapshot import Step, fsync_dir, no_fault, steps_of

log = logging.getLogger(__name__)
Record = TypeVar("Record")
#: Called with a record's sequence number and payload.
EachRecord = Callable[[int, bytes], None]
#: Bytes after which a queue begins another segment.
SEGMENT = 4 << 20
#: Bytes that are read at once: more than any one record.
CHUNK = 2 << 20


@dataclass(slots=True)
class Scan(Generic[Record]):
    """One segment's content: good records, where the good part ends, and what follows it."""

    records: list[tuple[int, Record]]
    good_bytes: int
    torn_bytes: int
    damaged: bool


def scan(data: bytes, magic: bytes = b"") -> Scan[bytes]:
    """Read a segment's bytes, which begin with ``magic``; never raises on damage."""
    if not data.startswith(magic):
        return Scan([], 0, len(data), len(data) >= len(magic) and any_frame(data, 0))
    records, good = [], len(magic)
    while (frame := frame_at(data, good)) is not None:
        seq, payload, good = frame
        records.append((seq, payload))
    torn = len(data) - good
    return Scan(records, good, torn, torn > 0 and any_frame(data, good + 1))


def list_segments(folder: Path, name: str) -> list[Path]:
    """The segments in ``folder``, oldest first."""
    paths = [path for path in folder.glob(f"{name}.*") if path.suffix[1:].isdigit()]
    return sorted(paths, key=number_of)


def number_of(path: Path) -> int:
    return int(path.suffix[1:])


@dataclass(slots=True)
class Segment:
    """``last``: sequence number of its newest record; below that of its first while it has none.
    ``size``: bytes of whole records."""

    path: Path
    last: int
    size: int


class SegmentLog:
    """The writer of one log. One event loop, one process; only :meth:`sync` may run in a thread.

    ``digits`` of the number in a file's name, ``magic`` at the beginning of each. ``limit``: bytes
    after which an append begins another segment, numbered as its first record; without one, only
    :meth:`begin` does. Steps are announced to ``step`` as ``<name>.<step>``.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        digits: int,
        magic: bytes = b"",
        limit: int = sys.maxsize,
        fsync: Callable[[int], None] = os.fsync,
        steps: str = "",
        step: Step = no_fault,
    ) -> None:
        self.folder, self.name = folder, name
        self._digits, self._magic, self._limit = digits, magic, limit
        self._fsync = fsync
        self._step = steps_of(steps or name, step)
        self._fd = -1
        self._rotated: list[int] = []  # of older segments, open until they are synced
        self.synced = 0  # sequence number up to which records are on disk
        self._begun = self._named = 0  # segments, and those whose names are on disk
        self._torn = False
        self.segments: list[Segment] = []
        self.seq = 0

    # -- what an earlier process left --------------------------------------------------------

    def recover(self, each: EachRecord | None = None, *, newest_only: bool = False) -> None:
        """List the segments, cut torn tails and call ``each`` with every good record. With
        ``newest_only`` the older segments are not read, however many they are. Raises OSError."""
        paths = list_segments(self.folder, self.name)
        self.segments = []
        for at, path in enumerate(paths):
            if newest_only and path is not paths[-1]:
                last = number_of(paths[at + 1]) - 1
                self.segments.append(Segment(path, last, path.stat().st_size))
                continue
            scanned, last = self._cut(path), number_of(path) - 1
            for seq, payload in scanned.records:
                last = seq
                if each is not None:
                    each(seq, payload)
            self.segments.append(Segment(path, last, scanned.good_bytes))

    def _cut(self, path: Path) -> Scan[bytes]:
        """Keep the good part; a damaged segment is copied to ``damaged.<number>`` before."""
        data = path.read_bytes()
        frame = scan(data, self._magic)
        if frame.damaged:
            kept = path.with_name(f"damaged{path.suffix}")
            kept.touch(0o640)
            kept.write_bytes(data)
            extra = {"file": str(kept), "bytes": frame.torn_bytes}
            log.error(f"{self.name}.damaged", extra=extra)
        elif frame.torn_bytes:
            log.warning(f"{self.name}.torn_tail_cut", extra={"bytes": frame.torn_bytes})
        if frame.torn_bytes:
            os.truncate(path, frame.good_bytes)
        return frame

    # -- writing -----------------------------------------------------------------------------

    def start(self, seq: int, number: int | None = None) -> None:
        """Go on behind ``seq``, in a new segment. Raises OSError."""
        self.seq = self.synced = seq
        self.begin(number)

    def begin(self, number: int | None = None) -> None:
        """Begin segment ``number``; by default, that of the next record. Raises OSError."""
        number = self.seq + 1 if number is None else number
        path = self.folder / f"{self.name}.{number:0{self._digits}d}"
        # One of that name is there after a start without a record: it is empty, or was torn.
        known = any(each.path == path for each in self.segments)
        self._step("create")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if known else os.O_EXCL)
        fd = os.open(path, flags, 0o640)
        if self._fd >= 0:
            self._rotated.append(self._fd)
        self._fd, self._torn = fd, True
        self._begun += 1
        self.segments = [each for each in self.segments if each.path != path]
        self.segments.append(Segment(path, self.seq, 0))
        os.ftruncate(fd, 0)
        if self._magic:
            self._step("magic")
            self._write(self._magic)
        self._torn = False

    def append(self, payload: bytes) -> int:
        """Keep ``payload``; returns its number. Raises OSError: it was not kept."""
        if self._torn or self.segments[-1].size >= self._limit:
            self.begin()
        self._step("append")
        self._write(frame(self.seq + 1, payload))
        self._step("appended")
        self.seq += 1
        self.segments[-1].last = self.seq
        return self.seq

    def _write(self, data: bytes) -> None:
        segment = self.segments[-1]
        self._torn = True
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._fd, segment.size)
            self._torn = False
            raise
        self._torn = False
        segment.size += len(data)

    @property
    def unsynced(self) -> bool:
        return self.synced < self.seq or self._named < self._begun

    def sync(self) -> None:
        """Return once everything appended so far is on disk. Raises :class:`DurabilityLost`."""
        upto, begun, rotated, newest = self.seq, self._begun, self._rotated[:], self._fd
        try:
            for fd in (*rotated, newest):
                self._fsync(fd)
            if self._named < begun:
                fsync_dir(self.folder)
        except OSError as exc:
            raise DurabilityLost(f"{self.folder}: cannot be synced: {exc}") from exc
        self.synced, self._named = upto, begun
        del self._rotated[: len(rotated)]
        for fd in rotated:
            os.close(fd)

    def drop_oldest(self) -> None:
        """Remove the oldest segment. Raises OSError."""
        self._step("drop")
        self.segments.pop(0).path.unlink(missing_ok=True)

    def close(self) -> None:
        for fd in (*self._rotated, self._fd):
            if fd >= 0:
                os.close(fd)
        self._rotated, self._fd = [], -1

    @property
    def bytes(self) -> int:
        """Bytes on the volume."""
        return sum(segment.size for segment in self.segments)


class Reader:
    """Reads a log from the disk while it is written, so that a long queue costs no memory.

    ``at_once``: bytes at which one :meth:`read` ends. ``damaged`` counts segments whose end could
    not be read.
    """

    def __init__(self, source: SegmentLog, *, at_once: int = sys.maxsize) -> None:
        self._log, self._at_once = source, at_once
        self._fd = -1
        self._offset = self._after = 0
        self.segment: Segment | None = None
        self.damaged = 0

    def seek(self, after: int) -> None:
        """Read on behind number ``after``."""
        self._after = after
        segments = self._log.segments
        self._open(next((each for each in segments if each.last > after), segments[-1]))

    def read(self, most: int) -> list[tuple[int, bytes]]:
        """The next records, oldest first; none when all were read. Raises OSError."""
        while True:
            if frames := self._frames(most):
                self._after = frames[-1][0]
                return frames
            if not self._next_segment():
                return []

    def is_behind(self, segment: Segment, number: int) -> bool:
        """Whether ``segment`` ends at ``number`` or before, and is neither read nor written any
        more."""
        in_use = (self.segment, self._log.segments[-1])
        return segment.last <= number and not any(segment is each for each in in_use)

    def _frames(self, most: int) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        began = self._offset
        while len(frames) < most and self._offset - began < self._at_once:
            data = os.pread(self._fd, min(CHUNK, self._at_once), self._offset)
            inside = 0
            while len(frames) < most and (one := frame_at(data, inside)) is not None:
                seq, payload, inside = one
                if seq > self._after:
                    frames.append((seq, payload))
            self._offset += inside
            if not inside:
                break
        return frames

    def _next_segment(self) -> bool:
        """Go on once this one is read; False when there is none."""
        segment, segments = self.segment, self._log.segments
        if segment is None or segment is segments[-1]:
            return False
        if self._offset < segment.size:
            self.damaged += 1
            extra = {"file": str(segment.path), "from_byte": self._offset}
            log.error(f"{self._log.name}.damaged", extra=extra)
        self._after = max(self._after, segment.last)
        self._open(segments[segments.index(segment) + 1])
        return True

    def _open(self, segment: Segment) -> None:
        self.close()
        self._fd, self._offset = os.open(segment.path, os.O_RDONLY), 0
        self.segment = segment

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
