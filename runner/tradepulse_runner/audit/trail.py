"""The audit trail: who did what, hash-chained and signed, in ``state_dir/audit.jsonl``.

One JSON object per line. Each has the digest of the one before, so that changes and omissions are
detected, and, with a signer, an HMAC, so that the chain can't be rewritten without the secret. A
record is on disk when :meth:`AuditTrail.append` returns. Depends only on the state directory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost, StateError
from tradepulse_runner.files.snapshot import canonical, fsync_dir, make_dirs

log = logging.getLogger(__name__)
FILE = "audit.jsonl"
#: What the first record names as the digest before it.
GENESIS = "0" * 64
Sign = Callable[[Mapping[str, Any]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """``seq`` from 1; ``at`` unix seconds; ``previous``: digest of the record before; ``digest``:
    SHA-256 over the canonical JSON of the rest; ``signature``: see ``audit.signing``, or None."""

    seq: int
    at: float
    kind: str
    body: dict[str, Any]
    previous: str
    digest: str
    signature: dict[str, str] | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The content that digest and signature cover."""
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "body": self.body,
            "previous": self.previous,
        }

    def to_json(self) -> dict[str, Any]:
        return {**self.content, "digest": self.digest, "signature": self.signature}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> AuditRecord:
        """Raises KeyError, TypeError, ValueError for what is no record."""
        signature = raw["signature"]
        return cls(
            int(raw["seq"]),
            float(raw["at"]),
            str(raw["kind"]),
            dict(raw["body"]),
            str(raw["previous"]),
            str(raw["digest"]),
            None if signature is None else dict(signature),
        )


def digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(dict(content))).hexdigest()


class AuditTrail:
    """Appends. ``clock`` gives unix seconds. Calls may come from any thread."""

    def __init__(
        self,
        state_dir: Path,
        *,
        sign: Sign | None = None,
        clock: Callable[[], float] = time.time,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        """Open the trail at its end. A torn last line was never acknowledged, and is cut. Raises
        :class:`StateError` for a trail that is damaged before its end."""
        self.path = state_dir / FILE
        self._sign, self._clock, self._fsync = sign, clock, fsync
        self._lock = threading.Lock()
        self._lost = ""
        make_dirs(state_dir)
        good, last = _end(self.path)
        self._seq, self._previous = (last.seq, last.digest) if last else (0, GENESIS)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o640)
            os.ftruncate(self._fd, good)
            os.lseek(self._fd, 0, os.SEEK_END)
            fsync_dir(state_dir)
        except OSError as error:
            raise DurabilityLost(f"{self.path}: cannot be opened: {error}") from error

    @property
    def seq(self) -> int:
        """Number of the newest record; 0 when there is none."""
        return self._seq

    def append(self, kind: str, body: Mapping[str, Any]) -> AuditRecord:
        """Write one record, durably. Raises :class:`DurabilityLost`, from then on always: what a
        failed fsync left on disk is not known."""
        with self._lock:
            if self._lost:
                raise DurabilityLost(self._lost)
            record = self._next(kind, dict(body))
            try:
                self._write(canonical(record.to_json()) + b"\n")
            except OSError as error:
                self._lost = f"{self.path}: cannot be written durably: {error}"
                raise DurabilityLost(self._lost) from error
            self._seq, self._previous = record.seq, record.digest
            return record

    def close(self) -> None:
        with self._lock:
            self._lost = self._lost or f"{self.path}: closed"
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _next(self, kind: str, body: dict[str, Any]) -> AuditRecord:
        content: dict[str, Any] = {
            "seq": self._seq + 1,
            "at": self._clock(),
            "kind": kind,
            "body": body,
            "previous": self._previous,
        }
        signature = dict(self._sign(content)) if self._sign else None
        return AuditRecord(**content, digest=digest_of(content), signature=signature)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]
        self._fsync(self._fd)


def _end(path: Path) -> tuple[int, AuditRecord | None]:
    """Length of the whole lines, and the last record."""
    good, last = 0, None
    for record, end in _lines(path):
        good, last = end, record
    return good, last


def read_trail(path: Path) -> Iterator[AuditRecord]:
    """Every whole record, in order; a torn last line is left out. Raises :class:`StateError` for a
    line that is no record."""
    for record, _ in _lines(path):
        yield record


def records_from(path: Path, offset: int) -> Iterator[tuple[AuditRecord, int]]:
    """Every whole record from byte ``offset`` on, where one begins, and the byte after it. Raises
    :class:`StateError` for a line that is no record."""
    return _lines(path, offset)


def _lines(path: Path, offset: int = 0) -> Iterator[tuple[AuditRecord, int]]:
    end = offset
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        stream.seek(offset)
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield AuditRecord.from_json(json.loads(line)), end
            except (ValueError, KeyError, TypeError) as error:
                where = f"line {number}{f' after byte {offset}' if offset else ''}"
                raise StateError(
                    f"{path}: {where} is no audit record ({type(error).__name__}); remedy: keep"
                    " the file as evidence, move it away, and restart"
                ) from error


def chain_problems(records: Iterator[AuditRecord]) -> Iterator[tuple[int, str]]:
    """(seq, what is wrong) for each record that doesn't follow the one before."""
    seq, previous = 0, GENESIS
    for record in records:
        if record.seq != seq + 1 or record.previous != previous:
            yield record.seq, f"does not follow record {seq}: records are missing or out of order"
        if record.digest != digest_of(record.content):
            yield record.seq, "its digest does not fit: it was changed"
        seq, previous = record.seq, record.digest
