"""Backups of the order state: made, verified and restored while no writer runs.

Idempotent and keyed: a backup or restore of one id happens once, however often it is asked for and
wherever a kill strikes. What a rollback must not turn back is left out: the writer epoch (ids would
repeat), the kill switch (only a person resets it), and the paper venue's own book (the world).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import RunnerError, SnapshotDamaged, StateError
from tradepulse_runner.files.schema import BACKUP, ORDER_BOOK
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    fsync_dir,
    make_dirs,
    no_fault,
    read_snapshot,
    write_durable,
)
from tradepulse_runner.oms.journal import scan

FOLDER = "backups"
MANIFEST = "manifest.json"
RESTORED = "restored.json"
#: In the state directory while files are being replaced: what lies there may be of two times.
RESTORING = "restoring.json"
#: Bytes that a backup leaves free: the journal goes on.
ROOM_LEFT = 1 << 20
_KEPT_OUT = ("epoch.json", "kill_switch.json")


class Result(StrEnum):
    """What became of a restore: the word that the operator acts on. The sentences beside it are
    those of protocol 0, see docs/decisions/0033-protocol-0.md."""

    RESTORED = "restored"
    KEPT = "kept"
    FROZEN = "frozen"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A finished backup; ``sha256`` is its manifest's checksum, ``bytes`` the sum of its files."""

    id: str
    files: int
    bytes: int
    sha256: str


def state_files(state_dir: Path) -> list[Path]:
    """The order state: snapshots and journals, both generations."""
    if not state_dir.is_dir():
        return []
    return sorted(
        path
        for path in state_dir.iterdir()
        if path.is_file()
        and not path.name.startswith((".", *_KEPT_OUT))
        and ("_oms.json" in path.name or "_journal." in path.name)
    )


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Backups:
    """The backups of one state directory. ``clock`` gives unix seconds."""

    def __init__(
        self, state_dir: Path, *, clock: Callable[[], float], step: Step = no_fault
    ) -> None:
        self._state, self._folder = state_dir, state_dir / FOLDER
        self._clock, self._step = clock, step

    def make(self, key: str) -> BackupResult:
        """Back the state up as ``key``; one that exists is verified instead. An empty state makes
        a valid, empty backup. Raises :class:`StateError` for one that is damaged."""
        target = self._folder / _checked(key)
        make_dirs(self._folder)
        if not target.exists():
            self._copy(state_files(self._state), target)
        return self.verify(key)

    def verify(self, key: str) -> BackupResult:
        """Check every file of a backup against its manifest. Raises :class:`StateError`."""
        target = self._folder / _checked(key)
        try:
            text = (target / MANIFEST).read_bytes()
            manifest = json.loads(text)
            BACKUP.require(int(manifest["schema"]), target)
            files = dict(manifest["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{target}: not a backup: {error}; remedy: use another one of {self.ids()}"
            ) from error
        for name, wanted in files.items():
            path = target / name
            if not path.is_file() or checksum(path) != wanted["sha256"]:
                raise StateError(
                    f"{path}: missing or damaged; remedy: use another one of {self.ids()}"
                )
        size = sum(int(wanted["bytes"]) for wanted in files.values())
        return BackupResult(key, len(files), size, hashlib.sha256(text).hexdigest())

    def manifest(self, key: str) -> tuple[bytes, dict[str, dict[str, Any]]]:
        """A whole backup's manifest: as it is on disk, and its files by name, each with ``sha256``
        and ``bytes``. Raises :class:`StateError` for a damaged backup."""
        self.verify(key)
        text = (self._folder / key / MANIFEST).read_bytes()
        return text, json.loads(text)["files"]

    def adopt(self, key: str, stage: Path) -> None:
        """Make the folder ``stage`` the backup ``key``, in the place of one that is damaged."""
        self._hide(self._folder / _checked(key))
        self._step("publish")
        stage.rename(self._folder / key)
        fsync_dir(self._folder)

    def keep(self, key: str) -> str:
        """Copy the state of now, whatever it is worth, as a backup; returns its id: ``key`` or the
        next one that is free."""
        names = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
        free = next(name for name in names if not (self._folder / _checked(name)).exists())
        make_dirs(self._folder)
        self._copy(state_files(self._state), self._folder / free)
        return free

    def restore(self, key: str, *, again: bool = False) -> dict[str, Any]:
        """Bring backup ``key`` back, once unless ``again``. What is replaced is kept beside it.

        Without such a backup nothing was ever written after it could have been made: there is
        nothing to restore. Raises :class:`StateError` for a backup that is damaged, or that holds
        what only a newer release reads, before any change.
        """
        target = self._folder / _checked(key)
        if not target.exists():
            why = "no such backup: the new release never started"
            return {"id": key, "result": Result.MISSING, "skipped": why}
        if again:
            # Before the marker: an interrupted restore is repeated, by whoever is asked to.
            self._step("unmark")
            (target / RESTORED).unlink(missing_ok=True)
            fsync_dir(target)
        if (target / RESTORED).exists():
            self._forget_marker()
            known = {"skipped": "restored already", "sha256": self._restored(key)}
            return {"id": key, "result": Result.RESTORED, **known}
        found = self.verify(key)
        _require_readable(target)
        replaced = self._folder / f"{key}-replaced"
        if not replaced.exists():
            self._copy(state_files(self._state), replaced)
        names = json.loads((target / MANIFEST).read_bytes())["files"]
        marker = canonical({"id": key}) + b"\n"
        write_durable(self._state / RESTORING, marker, step=self._step)
        self._replace(target, set(names))
        done = {"at": self._clock(), "sha256": found.sha256}
        write_durable(target / RESTORED, canonical(done) + b"\n", step=self._step)
        self._forget_marker()
        return {"result": Result.RESTORED, **as_json(found)}

    def _restored(self, key: str) -> str:
        """Checksum of the manifest that was restored; "" when the mark doesn't tell."""
        try:
            return str(json.loads((self._folder / key / RESTORED).read_bytes())["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def prune(self, keep: int, *, protect: str) -> None:
        """Keep the newest ``keep`` backups, and ``protect`` whatever its age."""
        for key in self.ids()[keep:]:
            if key != protect:
                for path in (self._folder / f"{key}-replaced", self._folder / key):
                    self._hide(path)
        for path in self._folder.glob(".*.gone"):
            shutil.rmtree(path, ignore_errors=True)

    def _hide(self, path: Path) -> None:
        """A backup that is half removed must not be taken for a damaged one."""
        if path.is_dir():
            self._step("hide")
            path.rename(path.with_name(f".{path.name}.gone"))

    def _forget_marker(self) -> None:
        self._step("forget")
        (self._state / RESTORING).unlink(missing_ok=True)
        fsync_dir(self._state)

    def ids(self) -> list[str]:
        """Ids of the backups, newest first."""
        if not self._folder.is_dir():
            return []
        found = [
            path
            for path in self._folder.iterdir()
            if (path / MANIFEST).is_file()
            and not path.name.startswith(".")
            and not path.name.endswith("-replaced")
        ]
        return [path.name for path in sorted(found, key=_age, reverse=True)]

    def _replace(self, source: Path, names: set[str]) -> None:
        for name in sorted(names):
            write_durable(self._state / name, (source / name).read_bytes(), step=self._step)
        for path in state_files(self._state):
            if path.name not in names:
                self._step("unlink")
                path.unlink()
        fsync_dir(self._state)

    def _copy(self, files: list[Path], target: Path) -> None:
        """Copy into a folder that appears whole or not at all."""
        stage = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(stage, ignore_errors=True)
        require_room(target.parent, sum(path.stat().st_size for path in files))
        make_dirs(stage)
        entries: dict[str, dict[str, Any]] = {}
        for path in files:
            write_durable(stage / path.name, path.read_bytes(), step=self._step)
            copied = stage / path.name
            entries[path.name] = {"sha256": checksum(copied), "bytes": copied.stat().st_size}
        manifest = {
            "schema": BACKUP.number,
            "at": self._clock(),
            "files": entries,
            "generations": _generations(stage, entries),
        }
        write_durable(stage / MANIFEST, canonical(manifest) + b"\n", step=self._step)
        self._step("publish")
        stage.rename(target)
        fsync_dir(target.parent)


def require_room(folder: Path, size: int) -> None:
    """Raise :class:`StateError` when ``size`` bytes more, and a little, don't fit on the volume."""
    free = shutil.disk_usage(folder).free
    if free < size + ROOM_LEFT:
        raise StateError(
            f"{folder}: a backup of {size} bytes needs {size + ROOM_LEFT}, {free} are free; remedy:"
            " raise spec.state.size or lower spec.state.backups.keep"
        )


def _generations(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """The generation of each snapshot that can be read; a backup keeps also what can't."""
    found = {}
    for name in names:
        if "_oms.json" in name:
            with contextlib.suppress(OSError, RunnerError):
                found[name] = read_snapshot(folder / name, ORDER_BOOK).generation
    return found


def _require_readable(folder: Path) -> None:
    """Raise :class:`~tradepulse_runner.errors.SchemaTooNew` when this release can't read a file of
    the backup. What is damaged is restored as it is: a backup keeps the state, whatever it is
    worth."""
    for path in state_files(folder):
        if "_journal." in path.name:
            scan(path.read_bytes(), name=str(path))
        else:
            with contextlib.suppress(SnapshotDamaged):
                read_snapshot(path, ORDER_BOOK)


def require_whole(state_dir: Path) -> None:
    """Raise :class:`StateError` while a restore is half done: its files are of two times."""
    if (state_dir / RESTORING).exists():
        raise StateError(
            f"{state_dir / RESTORING}: a restore was interrupted; remedy: repeat it with "
            "'tradepulse-runner state prepare --restore ID', the id is in that file"
        )


def _checked(key: str) -> str:
    """A key is a folder's name, and must not lead out of its folder."""
    if not key or key.startswith(".") or "/" in key:
        raise StateError(f"backup id {key!r} is not usable; remedy: use letters, digits and '-'")
    return key


def _age(path: Path) -> float:
    """When a backup was made; one that cannot tell counts as the oldest."""
    try:
        return float(json.loads((path / MANIFEST).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def as_json(result: BackupResult) -> dict[str, Any]:
    """The result as the operator reads it."""
    return asdict(result)
