"""What is to be told and wasn't yet, on the state volume: ``bus/outbox.{number}``, ``bus/cursor``.

Segments of frames as the journal has them (length, CRC, sequence number, JSON), read back from the
disk, so that an outage of hours costs no memory. An event leaves only once the brokers have it;
``cursor`` says up to where that is. Losing the cursor tells events again, under the same ids.

It never holds trading up: putting is one write to the kernel, which a kill -9 can't undo. A power
cut can, within a second; the order journal, which is synced, then still has what is missing, and
``known`` tells from where on. When the bound is near, events are turned away and counted: what can
be seen again from half of it on, orders and fills at the very end.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.bus.events import Event
from tradepulse_runner.config.bus import Stream
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.frames import any_frame, frame, frame_at
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    fsync_dir,
    make_dirs,
    no_fault,
    write_durable,
)

log = logging.getLogger(__name__)
FOLDER = "bus"
SEGMENT = 4 << 20
#: Bytes of one event at most; what is read at once.
LARGEST = 128 << 10
#: Share of the bound from which on only orders and fills are taken.
RESERVE = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the outbox; ``stream`` is None for a mark that is not to be told."""

    seq: int
    stream: Stream | None
    key: str
    id: str
    value: bytes
    at: float


@dataclass(slots=True)
class _Segment:
    path: Path
    last: int
    size: int
    closed: bool = True


class Outbox:
    """The outbox of one state directory. One event loop, one process (the state is locked)."""

    def __init__(
        self,
        state_dir: Path,
        max_bytes: int,
        *,
        clock: Callable[[], float],
        step: Step = no_fault,
    ) -> None:
        self._folder, self._max = state_dir / FOLDER, max_bytes
        self._segment_bytes = min(SEGMENT, max_bytes // 8)
        self._clock, self._step = clock, step
        self._segments: list[_Segment] = []
        self._fd = self._read_fd = -1
        self._at, self._offset = 0, 0  # of the reader: segment, byte
        self._seq = self._acked = self._saved = 0
        self._sources: dict[str, int] = {}
        self._since = 0.0
        self._dirty = False
        self.dropped: dict[Stream, int] = dict.fromkeys(Stream, 0)
        self.problem = ""
        self.arrived, self.empty = asyncio.Event(), asyncio.Event()

    # -- life ------------------------------------------------------------------------------

    def open(self) -> None:
        """Find what an earlier process left. Raises OSError, :class:`DurabilityLost`."""
        make_dirs(self._folder)
        self._read_cursor()
        for path in sorted(self._folder.glob("outbox.*")):
            if path.suffix[1:].isdigit():
                self._segments.append(self._scan(path))
        self._seq = max([self._acked, *(segment.last for segment in self._segments)])
        self._new_segment()
        self.rewind()
        if not self.depth:
            self.empty.set()

    def close(self) -> None:
        for fd in (self._fd, self._read_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._read_fd = -1

    def _read_cursor(self) -> None:
        try:
            found = json.loads((self._folder / "cursor").read_bytes())
            self._acked = self._saved = int(found["acked"])
            self._sources = {str(k): int(v) for k, v in found["sources"].items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            extra = {"file": str(self._folder / "cursor"), "remedy": "events may be told twice"}
            log.error("bus.cursor_damaged", extra=extra)

    def _scan(self, path: Path) -> _Segment:
        data, offset, last = path.read_bytes(), 0, 0
        while (found := frame_at(data, offset)) is not None:
            last, payload, offset = found
            raw = json.loads(payload)
            if source := raw.get("o"):
                self._sources[source[0]] = source[1]
            if last > self._acked and not self._since:
                self._since = raw["t"]
        if offset < len(data) and any_frame(data, offset + 1):
            kept = path.with_name(f"damaged.{path.suffix[1:]}")
            os.replace(path, kept)  # as evidence; what precedes the damage is told
            path.write_bytes(data[:offset])
            extra = {"file": str(kept), "bytes": len(data) - offset}
            log.error("bus.outbox_damaged", extra=extra)
        return _Segment(path, last, len(data))

    # -- putting ---------------------------------------------------------------------------

    def put(self, event: Event) -> bool:
        """Keep ``event`` until it is told; False when there is no room, or the disk fails."""
        raw = {
            "s": str(event.stream),
            "k": event.key,
            "i": event.id,
            "b": event.body,
            "t": self._clock(),
            **({"o": event.source} if event.source else {}),
        }
        payload = canonical(raw)
        if len(payload) > LARGEST or self._with(payload) > self._room(event.stream):
            self._refuse(event, f"no room beside {self.bytes} bytes of at most {self._max}")
            return False
        if not self._append(payload, event.source):
            self._refuse(event, self.problem)
            return False
        self.problem = ""
        return True

    def place(self, venue: str, seq: int) -> None:
        """Remember that what ``venue``'s journal has up to ``seq`` is told or not to be told."""
        if self._sources.get(venue) != seq:
            self._append(canonical({"o": [venue, seq], "t": self._clock()}), (venue, seq))

    def known(self, venue: str) -> int | None:
        """Sequence number of the journal record that was put last; None: there never was one."""
        return self._sources.get(venue)

    def _with(self, payload: bytes) -> int:
        return self.bytes + len(frame(0, payload))

    def _room(self, stream: Stream) -> float:
        return self._max * (1.0 if stream.kept else RESERVE)

    def _append(self, payload: bytes, source: tuple[str, int] | None) -> bool:
        data = frame(self._seq + 1, payload)
        try:
            if self._segments[-1].size >= self._segment_bytes:
                self._new_segment()
            self._write(data)
        except OSError as error:
            self.problem = f"{self._folder}: {error.strerror}"
            return False
        if not self.depth:
            self._since = self._clock()
        self._seq += 1
        segment = self._segments[-1]
        segment.size, segment.last = segment.size + len(data), self._seq
        if source:
            self._sources[source[0]] = source[1]
        self._dirty = True
        self.arrived.set()
        self.empty.clear()
        return True

    def _write(self, data: bytes) -> None:
        self._step("outbox.append")
        written = os.write(self._fd, data)
        if written != len(data):
            os.ftruncate(self._fd, self._segments[-1].size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._step("outbox.appended")

    def _refuse(self, event: Event, why: str) -> None:
        if event.stream.kept and not self.dropped[event.stream]:
            log.error("bus.event_lost", extra={"stream": str(event.stream), "why": why})
        self.dropped[event.stream] += 1

    def _new_segment(self) -> None:
        path = self._folder / f"outbox.{self._seq + 1:012d}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
            self._segments[-1].closed = True
        self._fd = fd
        # One of that name is there after a start without anything put: it is empty, or torn.
        os.ftruncate(fd, 0)
        self._segments = [each for each in self._segments if each.path != path]
        self._segments.append(_Segment(path, 0, 0, closed=False))

    # -- telling ---------------------------------------------------------------------------

    def read(self, most: int) -> list[Entry]:
        """The next entries, oldest first; none when all were read. Raises OSError."""
        found: list[Entry] = []
        self.arrived.clear()
        while not found:
            frames = list(self._frames(most))
            found = [_entry(seq, payload) for seq, payload in frames if seq > self._acked]
            if not frames and not self._next_segment():
                break
        return found

    def rewind(self) -> None:
        """Read on from the first one that wasn't acknowledged."""
        self._at = next(
            (n for n, each in enumerate(self._segments) if each.last > self._acked),
            len(self._segments) - 1,
        )
        self._begin()

    def ack(self, entry: Entry) -> None:
        """The brokers have everything up to ``entry``."""
        self._acked = max(self._acked, entry.seq)
        self._since = entry.at if self.depth else 0.0
        if not self.depth:
            self.empty.set()

    async def save(self) -> None:
        """Write down how far it is, and drop what isn't needed any more. Raises
        :class:`DurabilityLost`; repeating is safe."""
        await asyncio.to_thread(self._sync)
        if self._acked == self._saved:
            return
        acked = self._acked
        text = canonical({"acked": acked, "sources": self._sources})
        path = self._folder / "cursor"
        await asyncio.to_thread(write_durable, path, text, step=self._step)
        self._saved = acked
        self._drop(acked)

    def _drop(self, acked: int) -> None:
        while self._at > 0 and self._segments[0].closed and self._segments[0].last <= acked:
            self._step("outbox.drop")
            self._segments.pop(0).path.unlink(missing_ok=True)
            self._at -= 1

    def _sync(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        try:
            os.fsync(self._fd)
            fsync_dir(self._folder)
        except OSError as error:
            raise DurabilityLost(f"{self._folder}: {error.strerror}") from error

    def _frames(self, most: int) -> Iterator[tuple[int, bytes]]:
        data = os.pread(self._read_fd, 2 * LARGEST, self._offset)
        inside = 0
        while most and (found := frame_at(data, inside)) is not None:
            seq, payload, end = found
            self._offset += end - inside
            inside, most = end, most - 1
            yield seq, payload

    def _next_segment(self) -> bool:
        """Go on to the next segment once this one is read; False when there is none."""
        if not self._segments[self._at].closed:
            return False
        self._at += 1
        self._begin()
        return True

    def _begin(self) -> None:
        if self._read_fd >= 0:
            os.close(self._read_fd)
        self._read_fd, self._offset = os.open(self._segments[self._at].path, os.O_RDONLY), 0

    # -- how it stands ---------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Events that the brokers don't have yet."""
        return self._seq - self._acked

    @property
    def bytes(self) -> int:
        """What it takes on the volume."""
        return sum(segment.size for segment in self._segments)

    @property
    def age(self) -> float:
        """Seconds that the oldest of them has waited at most; 0 when there is none."""
        return max(0.0, self._clock() - self._since) if self.depth and self._since else 0.0


def _entry(seq: int, payload: bytes) -> Entry:
    raw: dict[str, Any] = json.loads(payload)
    if "s" not in raw:
        return Entry(seq, None, "", "", b"", raw["t"])
    return Entry(seq, Stream(raw["s"]), raw["k"], raw["i"], canonical(raw["b"]), raw["t"])
