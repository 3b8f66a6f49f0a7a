"""The acknowledged position in the trail: one small file, replaced durably after each batch.

It is written after the acknowledgement. After a crash between the two the batch is sent twice,
under the same ids; the other order would lose it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.audit.trail import GENESIS, AuditRecord, records_from
from tradepulse_runner.errors import StateError
from tradepulse_runner.files.snapshot import Step, canonical, no_fault, write_durable

log = logging.getLogger(__name__)
FILE = "audit.forwarded.json"
#: Maximum size of a batch in bytes of the trail; it has at least one record.
MAX_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """``endpoint`` acknowledged everything up to record ``seq`` with ``digest``, which is at bytes
    ``start`` to ``end`` of the trail."""

    endpoint: str
    seq: int = 0
    digest: str = GENESIS
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to send, and the position once they are acknowledged."""

    records: tuple[AuditRecord, ...]
    after: Position


class TrailReader:
    """Reads the trail ``audit`` for ``endpoint``. Blocking: call it from a thread."""

    def __init__(self, audit: Path, endpoint: str, *, step: Step = no_fault) -> None:
        self._audit, self._step = audit, step
        self._path = audit.with_name(FILE)
        self.position = self._load(endpoint)

    def batch(self, newest: int, most: int) -> Batch | None:
        """The next records, ``most`` at most, none after ``newest``; None when nothing is due.
        Raises :class:`StateError` for a damaged trail."""
        records: list[AuditRecord] = []
        first = after = self.position
        for record, end in records_from(self._audit, first.end):
            full = len(records) >= most or (records and end - first.end > MAX_BATCH_BYTES)
            # Only durable records may be forwarded.
            if full or record.seq > newest:
                break
            records.append(record)
            after = Position(first.endpoint, record.seq, record.digest, after.end, end)
        return Batch(tuple(records), after) if records else None

    def acknowledge(self, batch: Batch) -> None:
        """Save that ``batch`` was acknowledged. Raises :class:`DurabilityLost`."""
        write_durable(self._path, canonical(asdict(batch.after)) + b"\n", step=self._step)
        self.position = batch.after

    def _load(self, endpoint: str) -> Position:
        """The saved position; the beginning when it is of another endpoint or another trail. The
        receiver removes duplicates by the ids."""
        try:
            position = _position(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return Position(endpoint)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("siem.position_lost", extra={"why": type(error).__name__})
            return Position(endpoint)
        if position.endpoint == endpoint and self._fits(position):
            return position
        log.warning("siem.from_the_beginning", extra={"before": position.endpoint, "now": endpoint})
        return Position(endpoint)

    def _fits(self, position: Position) -> bool:
        """Whether the last acknowledged record is still at its place in the trail."""
        if not position.seq:
            return True
        try:
            record, end = next(records_from(self._audit, position.start))
        except (StopIteration, StateError):
            return False
        return (record.digest, record.seq, end) == (position.digest, position.seq, position.end)


def _position(raw: dict[str, Any]) -> Position:
    return Position(
        str(raw["endpoint"]),
        int(raw["seq"]),
        str(raw["digest"]),
        int(raw["start"]),
        int(raw["end"]),
    )
