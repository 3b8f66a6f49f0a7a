"""Unacknowledged events on the state volume: ``bus/outbox.{number}``, ``bus/cursor``.

A segmented log of JSON entries. An event is removed once the brokers acknowledged it; ``cursor``
stores the last acknowledged sequence number. After a lost cursor events are published again, under
the same ids.

Appending is one write to the kernel and never blocks trading. It survives a kill -9; a power cut
may lose the last second, which is appended again from the synced order journal, starting after
``last_sequence``. Near the size limit events are dropped and counted: ticks, bars and signals from
half of it on, orders and fills only when it is full.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.bus.events import Event
from tradepulse_runner.config.bus import Stream
from tradepulse_runner.files.frames import frame
from tradepulse_runner.files.segments import SEGMENT, Reader, SegmentLog
from tradepulse_runner.files.snapshot import Step, canonical, make_dirs, no_fault, write_durable

log = logging.getLogger(__name__)
FOLDER = "bus"
#: Maximum size of one event, bytes.
MAX_EVENT_BYTES = 128 << 10
#: Share of the size limit above which only orders and fills are accepted.
RESERVE = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the outbox; ``stream`` is None for a position mark, which is not published."""

    seq: int
    stream: Stream | None
    key: str
    id: str
    value: bytes
    at: float


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
        self._clock, self._step = clock, step
        limit = min(SEGMENT, max_bytes // 8)
        self._log = SegmentLog(self._folder, "outbox", digits=12, limit=limit, step=step)
        self._reader = Reader(self._log, at_once=2 * MAX_EVENT_BYTES)
        self._acked = self._saved = 0
        self._sources: dict[str, int] = {}
        self._since = 0.0
        self.dropped: dict[Stream, int] = dict.fromkeys(Stream, 0)
        self.problem = ""
        self.arrived, self.empty = asyncio.Event(), asyncio.Event()

    # -- life ------------------------------------------------------------------------------

    def open(self) -> None:
        """Recover the entries of an earlier process. Raises OSError, :class:`DurabilityLost`."""
        make_dirs(self._folder)
        self._read_cursor()
        self._log.recover(self._restore)
        self._log.start(max([self._acked, *(each.last for each in self._log.segments)]))
        self.rewind()
        if not self.depth:
            self.empty.set()

    def close(self) -> None:
        self._log.close()
        self._reader.close()

    def _read_cursor(self) -> None:
        try:
            cursor = json.loads((self._folder / "cursor").read_bytes())
            self._acked = self._saved = int(cursor["acked"])
            self._sources = {str(k): int(v) for k, v in cursor["sources"].items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            extra = {
                "file": str(self._folder / "cursor"),
                "remedy": "none needed; events may be published twice, under the same ids",
            }
            log.error("bus.cursor_damaged", extra=extra)

    def _restore(self, seq: int, payload: bytes) -> None:
        raw = json.loads(payload)
        if source := raw.get("o"):
            self._sources[source[0]] = source[1]
        if seq > self._acked and not self._since:
            self._since = raw["t"]

    # -- appending -------------------------------------------------------------------------

    def put(self, event: Event) -> bool:
        """Append ``event``; False when the outbox is full or the disk fails."""
        raw = {
            "s": str(event.stream),
            "k": event.key,
            "i": event.id,
            "b": event.body,
            "t": self._clock(),
            **({"o": event.source} if event.source else {}),
        }
        payload = canonical(raw)
        if len(payload) > MAX_EVENT_BYTES or self._size_with(payload) > self._limit_for(
            event.stream
        ):
            self._drop(event, f"outbox full: {self.bytes} of {self._max} bytes")
            return False
        if not self._append(payload, event.source):
            self._drop(event, self.problem)
            return False
        self.problem = ""
        return True

    def mark_position(self, venue: str, seq: int) -> None:
        """Record that the journal of ``venue`` needs no publishing up to ``seq``."""
        if self._sources.get(venue) != seq:
            self._append(canonical({"o": [venue, seq], "t": self._clock()}), (venue, seq))

    def last_sequence(self, venue: str) -> int | None:
        """Number of the last appended journal record of ``venue``; None before the first."""
        return self._sources.get(venue)

    def _size_with(self, payload: bytes) -> int:
        return self.bytes + len(frame(0, payload))

    def _limit_for(self, stream: Stream) -> float:
        return self._max * (1.0 if stream.critical else RESERVE)

    def _append(self, payload: bytes, source: tuple[str, int] | None) -> bool:
        waited = self.depth
        try:
            self._log.append(payload)
        except OSError as error:
            self.problem = f"{self._folder}: {error.strerror}"
            return False
        if not waited:
            self._since = self._clock()
        if source:
            self._sources[source[0]] = source[1]
        self.arrived.set()
        self.empty.clear()
        return True

    def _drop(self, event: Event, why: str) -> None:
        if event.stream.critical and not self.dropped[event.stream]:
            log.error("bus.event_lost", extra={"stream": str(event.stream), "why": why})
        self.dropped[event.stream] += 1

    # -- publishing ------------------------------------------------------------------------

    def read(self, limit: int) -> list[Entry]:
        """The next entries, oldest first; none when all were read. Raises OSError."""
        self.arrived.clear()
        return [_entry(seq, payload) for seq, payload in self._reader.read(limit)]

    def rewind(self) -> None:
        """Continue reading at the first entry that isn't acknowledged."""
        self._reader.seek(self._acked)

    def ack(self, entry: Entry) -> None:
        """Acknowledge everything up to ``entry``."""
        self._acked = max(self._acked, entry.seq)
        self._since = entry.at if self.depth else 0.0
        if not self.depth:
            self.empty.set()

    async def save(self) -> None:
        """Save the cursor and delete acknowledged segments. Raises :class:`DurabilityLost`;
        idempotent."""
        if self._log.unsynced:
            await asyncio.to_thread(self._log.sync)
        if self._acked == self._saved:
            return
        acked = self._acked
        text = canonical({"acked": acked, "sources": self._sources})
        path = self._folder / "cursor"
        await asyncio.to_thread(write_durable, path, text, step=self._step)
        self._saved = acked
        while self._reader.is_behind(self._log.segments[0], acked):
            self._log.drop_oldest()

    # -- metrics ---------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Number of events that are not acknowledged."""
        return self._log.seq - self._acked

    @property
    def bytes(self) -> int:
        """Size on the state volume."""
        return self._log.bytes

    @property
    def age(self) -> float:
        """Upper bound of the oldest event's age, seconds; 0 when there is none."""
        return max(0.0, self._clock() - self._since) if self.depth and self._since else 0.0


def _entry(seq: int, payload: bytes) -> Entry:
    raw: dict[str, Any] = json.loads(payload)
    if "s" not in raw:
        return Entry(seq, None, "", "", b"", raw["t"])
    return Entry(seq, Stream(raw["s"]), raw["k"], raw["i"], canonical(raw["b"]), raw["t"])
