"""A durable queue on the state volume: ``spool.{first}`` segments and ``spool.json``.

Segments are made of ``frames``, as the journal is, and are read back from the disk, so that an
outage of hours costs no memory. Appending is one write to the kernel, which a kill -9 can't undo; a
power cut can, within a second: whoever appends must have another source to catch up from.

What was acknowledged is kept for a while: a reader whose own memory was set back (a database that
failed over to a replica that lagged, or was restored) asks for it again.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost, RunnerError
from tradepulse_runner.files.frames import frame, frame_at
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    fsync_dir,
    make_dirs,
    no_fault,
    write_durable,
)

log = logging.getLogger(__name__)
STATE = "spool.json"
SEGMENT = 4 << 20
#: Bytes that are read at once: more than any one payload.
READ = 2 << 20


class SpoolFull(RunnerError):
    """There is no room for another record."""


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    size: int
    last: int | None = None  # None: still written to


class Spool:
    """The queue in ``folder``. One event loop, one process. ``clock`` gives unix seconds.

    ``most`` bytes on the volume; ``keep``: seconds that acknowledged records stay, while there is
    room. ``notes``: JSON values that whoever uses it wants to find again, written by :meth:`save`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most: int,
        keep: float,
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self._folder, self._most, self._keep = folder, most, keep
        self._segment_bytes = min(SEGMENT, most // 8)
        self._clock, self._step = clock, step
        self._segments: list[_Segment] = []
        self._fd = self._read_fd = -1
        self._reading: _Segment | None = None
        self._offset = self._after = 0
        self._dirty, self._saved = False, b""
        self.seq = self.acked = self.saved_seq = 0
        self.found = 0  # the last number that was there when it was opened
        self.origin = ""
        self.notes: dict[str, Any] = {}
        self.damaged = 0
        self.arrived = asyncio.Event()

    # -- life ------------------------------------------------------------------------------

    def open(self) -> None:
        """Find what an earlier process left. Raises OSError, :class:`DurabilityLost`."""
        make_dirs(self._folder)
        known = self._read_state()
        paths = sorted(p for p in self._folder.glob("spool.*") if p.suffix[1:].isdigit())
        self._segments = [_Segment(p, int(p.suffix[1:]), p.stat().st_size) for p in paths]
        for segment, following in zip(self._segments, self._segments[1:], strict=False):
            segment.last = following.first - 1
        self.seq = max(self.acked, self.saved_seq)
        if self._segments:
            self.seq = max(self.seq, self._cut(self._segments[-1]))
        self.found = self.seq
        if not known:  # at once: records are told apart by it
            self.renew()
            write_durable(self._folder / STATE, self._state(), step=self._step)
        self._new_segment()
        self.seek(self.acked)

    def _read_state(self) -> bool:
        path = self._folder / STATE
        try:
            found = json.loads(path.read_bytes())
            self.origin, self.notes = str(found["origin"]), dict(found["notes"])
            self.acked, self.saved_seq = int(found["acked"]), int(found["seq"])
            return True
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "none: what it holds is sent again, and known by its ids"
            log.error("spool.state_damaged", extra={"file": str(path), "remedy": remedy})
            log.debug("spool.state_damaged", exc_info=error)
        return False

    def _cut(self, segment: _Segment) -> int:
        """Cut a torn tail, which was never answered for; returns the last good number."""
        data, offset, last = segment.path.read_bytes(), 0, segment.first - 1
        while (found := frame_at(data, offset)) is not None:
            last, _, offset = found
        if offset < len(data):
            log.warning("spool.torn_tail_cut", extra={"bytes": len(data) - offset})
            os.truncate(segment.path, offset)
        segment.size, segment.last = offset, last
        return last

    def renew(self) -> None:
        """Number under another origin: what is there belongs to it, what was dropped doesn't."""
        self.origin = uuid.uuid4().hex
        self.notes["base"] = self.first - 1

    def close(self) -> None:
        for fd in (self._fd, self._read_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._read_fd = -1

    # -- appending -------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether an eighth of it is free or may be, so that catching up is worth beginning."""
        needed = sum(each.size for each in self._segments if not self._may_go(each))
        return needed < self._most * 7 // 8

    def append(self, payload: bytes) -> int:
        """Keep ``payload``; returns its number. Raises :class:`SpoolFull`, OSError: not kept."""
        data = frame(self.seq + 1, payload)
        if self.bytes + len(data) > self._most and not self._make_room(len(data)):
            raise SpoolFull(f"{self._folder}: holds {self.bytes} bytes of at most {self._most}")
        segment = self._segments[-1]
        if segment.size >= self._segment_bytes:
            segment = self._new_segment()
        self._step("spool.append")
        written = os.write(self._fd, data)
        if written != len(data):
            os.ftruncate(self._fd, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._step("spool.appended")
        self.seq += 1
        segment.size += len(data)
        self._dirty = True
        self.arrived.set()
        return self.seq

    def _make_room(self, wanted: int) -> bool:
        """What is kept only to be asked for again goes first."""
        while self.bytes + wanted > self._most and self._droppable():
            self._segments.pop(0).path.unlink(missing_ok=True)
        return self.bytes + wanted <= self._most

    def _droppable(self) -> bool:
        return self._may_go(self._segments[0])

    def _may_go(self, segment: _Segment) -> bool:
        """Whether all of it is acknowledged on disk and nobody reads it."""
        known = min(self.acked, self.saved_seq)
        return segment.last is not None and segment.last <= known and segment is not self._reading

    def _new_segment(self) -> _Segment:
        path = self._folder / f"spool.{self.seq + 1:016d}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
            self._segments[-1].last = self.seq
        self._fd = fd
        # One of that name is there after a start without a record: it is empty, or was torn.
        os.ftruncate(fd, 0)
        self._segments = [each for each in self._segments if each.path != path]
        self._segments.append(_Segment(path, self.seq + 1, 0))
        return self._segments[-1]

    # -- reading ---------------------------------------------------------------------------

    def seek(self, after: int) -> None:
        """Read on behind number ``after``."""
        self._after = after
        for segment in self._segments:
            if segment.last is None or segment.last > after:
                self._begin(segment)
                return

    def read(self, most: int) -> list[tuple[int, bytes]]:
        """The next records, oldest first; none when all were read. Raises OSError."""
        self.arrived.clear()
        while True:
            if found := self._frames(most):
                self._after = found[-1][0]
                return found
            if not self._next_segment():
                return []

    def _frames(self, most: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while len(found) < most:
            data = os.pread(self._read_fd, READ, self._offset)
            inside = 0
            while len(found) < most and (one := frame_at(data, inside)) is not None:
                seq, payload, inside = one
                if seq > self._after:
                    found.append((seq, payload))
            self._offset += inside
            if not inside:
                break
        return found

    def _next_segment(self) -> bool:
        """Go on once this one is read; False when there is none."""
        segment = self._reading
        if segment is None or segment.last is None:
            return False
        if self._offset < segment.size:
            self.damaged += 1
            extra = {"file": str(segment.path), "from_byte": self._offset}
            log.error("spool.damaged", extra=extra)
        following = self._segments[self._segments.index(segment) + 1]
        self._after = max(self._after, segment.last)
        self._begin(following)
        return True

    def _begin(self, segment: _Segment) -> None:
        if self._read_fd >= 0:
            os.close(self._read_fd)
        self._read_fd, self._offset = os.open(segment.path, os.O_RDONLY), 0
        self._reading = segment

    # -- remembering -----------------------------------------------------------------------

    def ack(self, seq: int) -> None:
        """The reader has everything up to ``seq``."""
        self.acked = max(self.acked, min(seq, self.seq))

    def rewind(self, seq: int) -> None:
        """The reader has everything up to ``seq`` and, whatever it said before, nothing else."""
        self.acked = min(seq, self.seq)
        self.seek(self.acked)

    async def save(self) -> None:
        """Sync, write down how far it is, and drop what is not needed any more. Raises
        :class:`DurabilityLost`; repeating is safe."""
        seq, state = self.seq, self._state()
        if self._dirty:
            self._dirty = False
            await asyncio.to_thread(_sync, self._fd, self._folder)
        if state != self._saved:
            await asyncio.to_thread(write_durable, self._folder / STATE, state, step=self._step)
            self._saved = state
        self.saved_seq = seq
        self._drop_old()

    def _drop_old(self) -> None:
        oldest_kept = self._clock() - self._keep
        while self._droppable() and self._segments[0].path.stat().st_mtime < oldest_kept:
            self._step("spool.drop")
            self._segments.pop(0).path.unlink(missing_ok=True)

    def _state(self) -> bytes:
        return canonical(
            {"origin": self.origin, "acked": self.acked, "seq": self.seq, "notes": self.notes}
        )

    # -- how it stands ---------------------------------------------------------------------

    @property
    def first(self) -> int:
        """Number of the oldest record that is still there; one more than ``seq`` if none is."""
        return self._segments[0].first if self._segments else self.seq + 1

    @property
    def depth(self) -> int:
        """Records that the reader hasn't acknowledged."""
        return self.seq - self.acked

    @property
    def bytes(self) -> int:
        """What it takes on the volume."""
        return sum(segment.size for segment in self._segments)


def _sync(fd: int, folder: Path) -> None:
    try:
        os.fsync(fd)
        fsync_dir(folder)
    except OSError as error:
        raise DurabilityLost(f"{folder}: cannot be synced: {error}") from error
