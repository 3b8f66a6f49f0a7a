"""A durable queue on the state volume: ``spool.{first}`` segments and ``spool.json``.

A log of ``segments`` that is read back from the disk. Appending is one write to the kernel, which a
kill -9 can't undo; a power cut can, within a second: the writer must have another source to
catch up from.

What was acknowledged is kept for a while: a reader whose own state was set back (a database that
failed over to a replica that lagged, or was restored) asks for it again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import RunnerError
from tradepulse_runner.files.frames import frame
from tradepulse_runner.files.segments import SEGMENT, Reader, Segment, SegmentLog, number_of
from tradepulse_runner.files.snapshot import Step, canonical, make_dirs, no_fault, write_durable

log = logging.getLogger(__name__)
STATE = "spool.json"


class SpoolFull(RunnerError):
    """There is no room for another record."""


class Spool:
    """The queue in ``folder``. One event loop, one process. ``clock`` gives unix seconds.

    ``most`` bytes on the volume; ``keep``: seconds that acknowledged records stay, while there is
    room. ``notes``: JSON values of the spool's user, written by :meth:`save`.
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
        self._clock, self._step = clock, step
        limit = min(SEGMENT, most // 8)
        self._log = SegmentLog(folder, "spool", digits=16, limit=limit, step=step)
        self._reader = Reader(self._log)
        self._saved = b""
        self.acked = self.saved_seq = 0
        self.recovered_seq = 0  # the last number when it was opened
        self.origin = ""
        self.notes: dict[str, Any] = {}
        self.arrived = asyncio.Event()

    # -- life ------------------------------------------------------------------------------

    def open(self) -> None:
        """Recover the records of an earlier process. Raises OSError, :class:`DurabilityLost`."""
        make_dirs(self._folder)
        known = self._read_state()
        self._log.recover(newest_only=True)
        self.recovered_seq = max(
            self.acked, self.saved_seq, *(each.last for each in self._log.segments[-1:])
        )
        self._log.seq = self.recovered_seq
        if not known:  # at once: records are identified by it
            self.renew()
            write_durable(self._folder / STATE, self._state(), step=self._step)
        self._log.start(self.recovered_seq)
        self.seek(self.acked)

    def _read_state(self) -> bool:
        path = self._folder / STATE
        try:
            state = json.loads(path.read_bytes())
            self.origin, self.notes = str(state["origin"]), dict(state["notes"])
            self.acked, self.saved_seq = int(state["acked"]), int(state["seq"])
            return True
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "none: its records are sent again, and recognised by their ids"
            log.error("spool.state_damaged", extra={"file": str(path), "remedy": remedy})
            log.debug("spool.state_damaged", exc_info=error)
        return False

    def renew(self) -> None:
        """Number under another origin, to which the present records belong and dropped ones
        don't."""
        self.origin = uuid.uuid4().hex
        self.notes["base"] = self.first - 1

    def close(self) -> None:
        self._log.close()
        self._reader.close()

    # -- appending -------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether an eighth of it is free or may be, so that catching up is worth beginning."""
        needed = sum(each.size for each in self._log.segments if not self._may_go(each))
        return needed < self._most * 7 // 8

    def append(self, payload: bytes) -> int:
        """Keep ``payload``; returns its number. Raises :class:`SpoolFull`, OSError: not kept."""
        size = len(frame(self.seq + 1, payload))
        if self.bytes + size > self._most and not self._make_room(size):
            raise SpoolFull(f"{self._folder}: {self.bytes} of at most {self._most} bytes are used")
        self._log.append(payload)
        self.arrived.set()
        return self.seq

    def _make_room(self, wanted: int) -> bool:
        """Drop acknowledged records to free ``wanted`` bytes. Returns whether they fit."""
        while self.bytes + wanted > self._most and self._may_go(self._log.segments[0]):
            self._log.drop_oldest()
        return self.bytes + wanted <= self._most

    def _may_go(self, segment: Segment) -> bool:
        """Whether all of it is acknowledged on disk and nobody reads it."""
        return self._reader.is_behind(segment, min(self.acked, self.saved_seq))

    # -- reading ---------------------------------------------------------------------------

    def seek(self, after: int) -> None:
        """Read on behind number ``after``."""
        self._reader.seek(after)

    def read(self, most: int) -> list[tuple[int, bytes]]:
        """The next records, oldest first; none when all were read. Raises OSError."""
        self.arrived.clear()
        return self._reader.read(most)

    @property
    def damaged(self) -> int:
        """Segments whose end could not be read."""
        return self._reader.damaged

    # -- acknowledging ----------------------------------------------------------------------

    def ack(self, seq: int) -> None:
        """The reader has everything up to ``seq``."""
        self.acked = max(self.acked, min(seq, self.seq))

    def rewind(self, seq: int) -> None:
        """The reader has everything up to ``seq`` and nothing else, whatever it acknowledged
        before."""
        self.acked = min(seq, self.seq)
        self.seek(self.acked)

    async def save(self) -> None:
        """Sync, write the positions to disk, and drop records that are not needed any more. Raises
        :class:`DurabilityLost`; repeating is safe."""
        seq, state = self.seq, self._state()
        if self._log.unsynced:
            await asyncio.to_thread(self._log.sync)
        if state != self._saved:
            await asyncio.to_thread(write_durable, self._folder / STATE, state, step=self._step)
            self._saved = state
        self.saved_seq = seq
        self._drop_old()

    def _drop_old(self) -> None:
        oldest_kept = self._clock() - self._keep
        oldest = self._log.segments[0]
        while self._may_go(oldest) and oldest.path.stat().st_mtime < oldest_kept:
            self._log.drop_oldest()
            oldest = self._log.segments[0]

    def _state(self) -> bytes:
        return canonical(
            {"origin": self.origin, "acked": self.acked, "seq": self.seq, "notes": self.notes}
        )

    # -- status ---------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """Number of the newest record."""
        return self._log.seq

    @property
    def first(self) -> int:
        """Number of the oldest record that is still there; one more than ``seq`` if none is."""
        segments = self._log.segments
        return number_of(segments[0].path) if segments else self.seq + 1

    @property
    def depth(self) -> int:
        """Records that the reader hasn't acknowledged."""
        return self.seq - self.acked

    @property
    def bytes(self) -> int:
        """Bytes on the volume."""
        return self._log.bytes
