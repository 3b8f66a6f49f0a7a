"""Appends journal records, admin audit records and kill-switch changes to the spool.

Called between the journal and the request to the venue: one write to the kernel, never raises.
Records that could not be appended (spool full, disk failure, kill -9) are taken from the journals
later; those that are no longer in a journal are recorded as a gap.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tradepulse_runner.audit.trail import FILE as TRAIL
from tradepulse_runner.audit.trail import read_trail
from tradepulse_runner.database.audit import Entry
from tradepulse_runner.errors import RunnerError, StateError
from tradepulse_runner.files import schema
from tradepulse_runner.files.snapshot import canonical, read_snapshot
from tradepulse_runner.files.spool import Spool
from tradepulse_runner.killswitch import FILE as LATCH
from tradepulse_runner.oms.journal import list_segments, scan
from tradepulse_runner.oms.state import OrderRecord

log = logging.getLogger(__name__)
#: Sources other than venues.
ADMIN, KILL_SWITCH, SPOOL = ".admin", ".kill-switch", ".spool"
#: Maximum characters of a body; of a longer one only the digest is stored.
MAX_BODY = 256 << 10
#: Kind of journal records that are not audited.
_IGNORED_KIND = "cursor"
#: Sequence number, id, kind and body of one record.
Item = tuple[int, str, str, dict[str, Any]]


class Recorder:
    """``epoch()``: the writer's, now. ``clock`` gives unix seconds."""

    def __init__(
        self,
        state_dir: Path,
        spool: Spool,
        *,
        epoch: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._state_dir, self._spool = state_dir, spool
        self._epoch, self._clock = epoch, clock
        self._marks: dict[str, tuple[int, str]] = {}
        self._behind: set[str] = set()
        self._seen: dict[str, tuple[int, int]] = {}
        self.started = asyncio.Event()  # the state directory is ours
        self.is_open = False
        self.problem = ""
        self.missed = 0

    # -- what the order book calls ---------------------------------------------------------

    def recorded(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record was written to the journal of ``venue``."""
        try:
            if not self._ready():
                self._behind.add(venue)
            elif venue not in self._behind:
                self._put(venue, _item(venue, seq, record))
        except Exception:  # an unexpected error must not stop the order
            self._behind.add(venue)
            log.exception("database.not_recorded")

    def replayed(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record read at start: nothing to do, :meth:`opened` handles all of them."""

    def opened(self, venue: str, seq: int) -> None:
        """The journal of ``venue`` was read, up to ``seq``."""
        self.started.set()
        self._behind.add(venue)
        try:
            if self._ready():
                self._append_missing(venue, self._journal_items(venue))
        except Exception:
            log.exception("database.not_caught_up")

    def _ready(self) -> bool:
        """Open the spool on first use, when the state directory is locked by this process."""
        if not self.is_open and not self.problem:
            try:
                self._spool.open()
                self._restore_marks()
                self.is_open = True
            except (OSError, RunnerError) as error:
                self.problem = f"the spool cannot be used: {error}"
                log.error("database.spool_unusable", extra={"why": self.problem})
        return self.is_open

    def _restore_marks(self) -> None:
        """Restore the last appended record of each source."""
        known = self._spool.notes.setdefault("marks", {})
        self._marks = {source: (int(m[0]), str(m[1])) for source, m in known.items()}
        self._spool.seek(self._spool.notes.get("marked", 0))
        while records := self._spool.read(1000):
            for _, data in records:
                entry = Entry.from_bytes(data)
                number = json.loads(entry.body).get("seq", 0)
                self._marks[entry.source] = (number, entry.id)
        self._spool.seek(self._spool.acked)

    # -- catching up -----------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Append missing journal records, and new records of admin API and kill switch."""
        if not self.is_open:
            self.problem = ""  # the disk may be well again
        if not self._ready() or not self._spool.has_room:
            return
        for venue in [each for each in self._behind if not each.startswith(".")]:
            self._append_missing(venue, self._journal_items(venue))
        await self._catch_up_file(ADMIN, TRAIL, self._audit_items)
        await self._catch_up_file(KILL_SWITCH, LATCH, self._kill_switch_items)

    async def _catch_up_file(
        self, source: str, name: str, items: Callable[[Path], list[Item]]
    ) -> None:
        path = self._state_dir / name
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if self._seen.get(source) == seen and source not in self._behind:
                return
            self._append_missing(source, await asyncio.to_thread(items, path))
            self._seen[source] = seen
        except FileNotFoundError:
            return
        except (OSError, StateError) as error:
            log.warning("database.source_unreadable", extra={"file": name, "why": str(error)})

    def _journal_items(self, venue: str) -> list[Item]:
        records: dict[int, dict[str, Any]] = {}
        for path in list_segments(self._state_dir, venue):
            records.update(scan(path.read_bytes(), name=str(path)).records)
        return [_item(venue, seq, records[seq]) for seq in sorted(records)]

    @staticmethod
    def _audit_items(path: Path) -> list[Item]:
        return [(r.seq, r.digest, f"admin.{r.kind}", r.to_json()) for r in read_trail(path)]

    @staticmethod
    def _kill_switch_items(path: Path) -> list[Item]:
        history = read_snapshot(path, schema.KILL_SWITCH).payload.get("history", [])
        return [
            (round(each["at"] * 1e6), _hash(["kill-switch", each]), str(each["event"]), each)
            for each in history
        ]

    def _append_missing(self, source: str, items: Sequence[Item]) -> None:
        """Append the items behind the last appended one; all of them when that one is missing:
        duplicates are removed by their ids."""
        self._behind.discard(source)
        mark = self._marks.get(source)
        after = [n for n, item in enumerate(items) if mark and (item[0], item[1]) == mark]
        if not after and mark and items and (missing := items[0][0] - mark[0] - 1) > 0:
            self._record_gap(source, mark[0] + 1, items[0][0] - 1, missing)
        for item in items[after[-1] + 1 :] if after else items:
            if not self._put(source, item):
                return

    def _record_gap(self, source: str, first: int, last: int, missing: int) -> None:
        """Record in the trail that journal records are lost."""
        if source == KILL_SWITCH:
            return  # its numbers are times
        self.missed += missing
        body = {"source": source, "first": first, "last": last}
        log.error("database.records_missing", extra=body)
        self._put(SPOOL, (0, _hash([self._spool.origin, body]), "gap", body))

    def record_loss(self, first: int, last: int) -> None:
        """Records of the spool that the database lacks and the spool dropped."""
        self.missed += last - first + 1
        body = {"source": "spool", "origin": self._spool.origin, "first": first, "last": last}
        log.error("database.records_missing", extra=body)
        self._put(SPOOL, (0, _hash(body), "gap", body))

    # -- appending -------------------------------------------------------------------------

    def _put(self, source: str, item: Item) -> bool:
        seq, key, kind, body = item
        if kind != _IGNORED_KIND and not self._append(source, key, kind, {"seq": seq, **body}):
            self._behind.add(source)
            return False
        self._marks[source] = (seq, key)
        return True

    def _append(self, source: str, key: str, kind: str, body: dict[str, Any]) -> bool:
        text = _text(body)
        entry = Entry(key, self._clock(), self._epoch(), source, kind, text)
        try:
            self._spool.append(entry.to_bytes())
        except (OSError, RunnerError) as error:
            if self.problem != str(error):
                log.error("database.spool_behind", extra={"why": str(error)})
            self.problem = str(error)
            return False
        self.problem = ""
        return True

    async def save(self) -> None:
        """Raises :class:`DurabilityLost`; repeating is safe."""
        if self.is_open:
            marks = {source: list(mark) for source, mark in self._marks.items()}
            self._spool.notes.update(marks=marks, marked=self._spool.seq)
            await self._spool.save()

    @property
    def behind(self) -> bool:
        """Whether records are missing in the spool."""
        return bool(self._behind)


def _item(venue: str, seq: int, record: dict[str, Any]) -> Item:
    return seq, _hash([venue, seq, record]), str(record["t"]), record


def _hash(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _text(body: dict[str, Any]) -> str:
    """JSON that PostgreSQL accepts (no NaN, no infinity) and that fits into a frame of the
    spool."""
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = canonical({"seq": body["seq"], "unusual": repr(body)}).decode()
    if len(text) > MAX_BODY:
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = canonical({"seq": body["seq"], "bytes": len(text), "sha256": digest}).decode()
    return text
