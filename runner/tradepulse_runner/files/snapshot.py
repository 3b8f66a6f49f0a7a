"""Crash-safe files: after a crash at any point, a reader sees the old or the new content.

Recipe: temp file in the same directory, write, fsync, rename, fsync of the directory. A
snapshot also carries a generation, a schema version and a checksum, and the generation before
it is kept as ``<name>.prev``. Only content known to be good is ever rotated there: rotating an
empty or torn file over the last good copy is how real systems lost both.

Every step is announced to ``step`` first, so that tests can crash at each of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import DurabilityLost, SnapshotDamaged
from tradepulse_runner.files import own
from tradepulse_runner.files.schema import Schema

#: Called with a step's name just before the step; production never passes one.
Step = Callable[[str], None]


def no_fault(_step: str) -> None:
    """Default ``step``: nothing goes wrong."""


def steps_of(name: str, step: Step) -> Step:
    """``step`` for a part: its steps are announced as ``<name>.<step>``."""
    return lambda what: step(f"{name}.{what}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Verified content of a snapshot file."""

    generation: int
    sha256: str
    payload: dict[str, Any]


def canonical(value: object) -> bytes:
    """The one byte form of a JSON value, for checksums."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def fsync_dir(path: Path) -> None:
    """Make renames and creations in ``path`` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dirs(path: Path) -> None:
    """``mkdir -p`` that survives a power cut: each new directory's parent is synced."""
    missing = []
    current = path
    while not current.exists():
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        fsync_dir(directory.parent)


def write_durable(path: Path, data: bytes, *, step: Step = no_fault) -> None:
    """Replace ``path`` by ``data``, atomically and durably. Raises :class:`DurabilityLost`."""
    temp = path.with_name(f".{path.name}.tmp")
    try:
        _write_temp(temp, data, step)
        step("rename")
        os.replace(temp, path)
        step("fsync-dir")
        fsync_dir(path.parent)
    except OSError as exc:
        raise DurabilityLost(f"{path}: cannot be written durably: {exc}") from exc


def _write_temp(temp: Path, data: bytes, step: Step) -> None:
    step("open")
    # A link under the temporary name would have something else overwritten.
    with open(own.create(temp), "wb") as handle:
        step("write")
        handle.write(data)
        handle.flush()
        step("fsync")
        os.fsync(handle.fileno())


def encode(payload: dict[str, Any], generation: int, schema: Schema) -> tuple[bytes, str]:
    """Bytes of a snapshot file and its payload's sha256."""
    digest = hashlib.sha256(canonical(payload)).hexdigest()
    body = {
        "schema": schema.number,
        "generation": generation,
        "sha256": digest,
        "payload": payload,
    }
    return canonical(body) + b"\n", digest


def read_snapshot(path: Path, schema: Schema) -> Snapshot:
    """Read and verify one file.

    Raises ``FileNotFoundError``, :class:`SnapshotDamaged` or
    :class:`~tradepulse_runner.errors.SchemaTooNew`.
    """
    try:
        body = json.loads(own.read(path))
        # Before all else: a newer schema may be checksummed differently, or look differently.
        schema.require(int(body["schema"]), path)
        generation, digest = int(body["generation"]), str(body["sha256"])
        payload = body["payload"]
    except FileNotFoundError:
        raise
    except (OSError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as exc:
        raise SnapshotDamaged(f"{path}: not a snapshot: {exc}") from exc
    if hashlib.sha256(canonical(payload)).hexdigest() != digest:
        raise SnapshotDamaged(f"{path}: checksum mismatch in generation {generation}")
    return Snapshot(generation, digest, payload)


class SnapshotFile:
    """Two good generations of one payload: ``path`` and ``path.prev``."""

    def __init__(self, path: Path, schema: Schema, *, step: Step = no_fault) -> None:
        self.path = path
        self.schema = schema
        self.previous = path.with_name(path.name + ".prev")
        self.current: Snapshot | None = None
        self.damaged: list[Path] = []
        self._step = step
        self._current_good = False

    def load(self) -> Snapshot | None:
        """Newest good generation, or None when there never was one.

        Damaged files are listed in ``damaged``. Raises :class:`SnapshotDamaged` when files
        exist but none is good, :class:`~tradepulse_runner.errors.SchemaTooNew` when a newer
        release wrote one.
        """
        self.damaged, self._current_good = [], False
        newest: Snapshot | None = None
        for path in (self.path, self.previous):
            try:
                snapshot = read_snapshot(path, self.schema)
            except FileNotFoundError:
                continue
            except SnapshotDamaged:
                self.damaged.append(path)
                continue
            self._current_good = self._current_good or path == self.path
            newest = newest or snapshot
        if newest is None and self.damaged:
            raise SnapshotDamaged(
                f"{self.path}: every generation is damaged ({[p.name for p in self.damaged]}); "
                "remedy: restore a backup with 'tradepulse-runner state restore --backup ID', "
                "or set cold_start: true to rebuild from the venue"
            )
        self.current = newest
        return newest

    def save(self, payload: dict[str, Any]) -> Snapshot:
        """Write the next generation. Raises :class:`DurabilityLost`; never retry after it."""
        generation = (self.current.generation if self.current else 0) + 1
        data, digest = encode(payload, generation, self.schema)
        temp = self.path.with_name(f".{self.path.name}.tmp")
        try:
            _write_temp(temp, data, self._step)
            if self._current_good:
                self._step("rotate")
                os.replace(self.path, self.previous)
            self._step("rename")
            os.replace(temp, self.path)
            self._step("fsync-dir")
            fsync_dir(self.path.parent)
        except OSError as exc:
            raise DurabilityLost(f"{self.path}: cannot be written durably: {exc}") from exc
        self._current_good = True
        self.current = Snapshot(generation, digest, payload)
        return self.current
