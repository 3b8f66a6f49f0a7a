"""Backups of the order state: made, verified and restored while no writer runs.

Idempotent and keyed: a backup or restore of one id happens once, however often it is asked for and
wherever a kill strikes. What a rollback must not revert is left out: the writer epoch (ids would
repeat), the kill switch (only a person resets it), and the paper venue's own database (it is the
other side of the trades).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import RestoreRefused, RunnerError, SnapshotDamaged, StateError
from tradepulse_runner.files import own
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
#: In the state directory while files are being replaced: they may be of two states.
RESTORING = "restoring.json"
#: Bytes that a backup leaves free: the journal goes on.
ROOM_LEFT = 1 << 20
#: Snapshots and journals of a venue, the generation before included. Neither the latch nor the
#: epoch has such a name, and none leads out of the directory.
_STATE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(_oms\.json|_journal\.)[A-Za-z0-9_.-]*")
_LONGEST_NAME = 255
_LONGEST_KEY = 128


class Result(StrEnum):
    """What became of a restore: the word that the operator acts on. The texts that go with it are
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


@dataclass(frozen=True, slots=True)
class Expected:
    """What the operator expects of a restore, each "" if unset: ``sha256`` of the backup's
    manifest, and a ``nonce`` that was made after the release that is rolled back had stopped, so
    that nothing which that release wrote on the volume can contain it."""

    sha256: str = ""
    nonce: str = ""


NOTHING_EXPECTED = Expected()


def is_state_file(name: str) -> bool:
    """Whether that is the name of a file of the order state."""
    return len(name) <= _LONGEST_NAME and _STATE_FILE.fullmatch(name) is not None


def state_files(state_dir: Path) -> list[Path]:
    """The order state: snapshots and journals, both generations."""
    return [path for path in _state_entries(state_dir) if own.is_file(path)]


def _state_entries(state_dir: Path) -> list[Path]:
    """Whatever has the name of a state file: also links and directories, which are none."""
    if not state_dir.is_dir():
        return []
    return sorted(path for path in state_dir.iterdir() if is_state_file(path.name))


def checksum(path: Path) -> str:
    """SHA-256 of a regular file, hexadecimal. Raises OSError for a link."""
    with open(own.opened(path), "rb") as stream:
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
        target = self._folder / checked(key)
        self._own_folder()
        if not os.path.lexists(target):
            self._copy(state_files(self._state), target)
        return self.verify(key)

    def verify(self, key: str) -> BackupResult:
        """Check every file of a backup against its manifest. Raises :class:`StateError`."""
        text, files = self._read(key)
        for name, (sha256, _) in files.items():
            path = self._folder / key / name
            if not own.is_file(path) or checksum(path) != sha256:
                raise StateError(
                    f"{path}: missing or damaged; remedy: use another one of {self.ids()}"
                )
        size = sum(size for _, size in files.values())
        return BackupResult(key, len(files), size, hashlib.sha256(text).hexdigest())

    def _read(self, key: str) -> tuple[bytes, dict[str, tuple[str, int]]]:
        """The manifest as it is on disk, and checksum and size by name. Raises StateError."""
        target = self._folder / checked(key)
        try:
            if not (own.is_directory(self._folder) and own.is_directory(target)):
                raise ValueError("no directory of its own")
            text = own.read(target / MANIFEST)
            manifest = json.loads(text)
            BACKUP.require(int(manifest["schema"]), target)
            return text, manifest_files(manifest)
        except (OSError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as e:
            raise StateError(
                f"{target}: not a backup: {e}; remedy: use another one of {self.ids()}"
            ) from e

    def manifest(self, key: str) -> tuple[bytes, dict[str, dict[str, Any]]]:
        """A whole backup's manifest: as it is on disk, and its files by name, each with ``sha256``
        and ``bytes``. Raises :class:`StateError` for a damaged backup."""
        self.verify(key)
        text, _ = self._read(key)
        return text, json.loads(text)["files"]

    def adopt(self, key: str, stage: Path) -> None:
        """Make the folder ``stage`` the backup ``key``, in the place of one that is damaged."""
        self._hide(self._folder / checked(key))
        self._step("publish")
        stage.rename(self._folder / key)
        fsync_dir(self._folder)

    def keep(self, key: str) -> str:
        """Copy the current state, damaged or not, as a backup; returns its id: ``key`` or the
        next one that is free."""
        names = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
        free = next(n for n in names if not os.path.lexists(self._folder / checked(n)))
        self._own_folder()
        self._copy(state_files(self._state), self._folder / free)
        return free

    def restore(
        self, key: str, *, again: bool = False, expected: Expected = NOTHING_EXPECTED
    ) -> dict[str, Any]:
        """Bring backup ``key`` back, once unless ``again``. The replaced files are
        kept as ``<key>-replaced``.

        Without such a backup nothing was ever written after it could have been made: there is
        nothing to restore. Raises :class:`StateError` for a backup that is damaged, or that
        only a newer release can read, and :class:`RestoreRefused` for one that isn't the expected
        one, before any change.
        """
        target = self._folder / checked(key)
        if not os.path.lexists(target):
            if expected.sha256:
                raise RestoreRefused(
                    f"{target}: no such backup, but one was made; remedy: fetch it with"
                    " 'tradepulse-runner state restore --from', or use another one"
                )
            why = "no such backup: the new release never started"
            return {"id": key, "result": Result.MISSING, "skipped": why}
        if again:
            # Before the marker: an interrupted restore is then repeated by the next attempt.
            self._step("unmark")
            own.remove(target / RESTORED)
            fsync_dir(target)
        restored = self._restored(key, expected.nonce)
        if restored is not None:
            self._forget_marker()
            known = {"skipped": "restored already", **restored, **_echo(expected)}
            return {"id": key, "result": Result.RESTORED, **known}
        return {"result": Result.RESTORED, **self._restore(key, expected), **_echo(expected)}

    def _restore(self, key: str, expected: Expected) -> dict[str, Any]:
        backup = self.verify(key)
        if expected.sha256 not in ("", backup.sha256):
            raise RestoreRefused(
                f"{self._folder / key}: its manifest has sha256 {backup.sha256}, it was"
                f" {expected.sha256} when it was made; remedy: fetch the backup with"
                " 'tradepulse-runner state restore --from', or use another one"
            )
        _require_readable(self._folder / key)
        _, files = self._read(key)
        self._keep_replaced(key, expected.nonce)
        begun = canonical({"id": key, "nonce": expected.nonce}) + b"\n"
        write_durable(self._state / RESTORING, begun, step=self._step)
        self._replace(key, files)
        done = {"at": self._clock(), "sha256": backup.sha256, "nonce": expected.nonce}
        write_durable(self._folder / key / RESTORED, canonical(done) + b"\n", step=self._step)
        self._forget_marker()
        summary = {"files": backup.files, "bytes": backup.bytes, "sha256": backup.sha256}
        return {"id": key, **summary, "unchanged": self._is_live(files)}

    def _keep_replaced(self, key: str, nonce: str) -> None:
        """Copy what is about to be replaced, once: with a nonce, a copy that
        was made before this restore began is replaced."""
        replaced = self._folder / f"{key}-replaced"
        begun = _read_marker(self._state / RESTORING)
        if nonce and (begun.get("id"), begun.get("nonce")) != (key, nonce):
            own.remove(replaced)
        if not os.path.lexists(replaced):
            self._copy(state_files(self._state), replaced)

    def _restored(self, key: str, nonce: str) -> dict[str, Any] | None:
        """The result of a restore that was done; None when it wasn't, or when it was done for
        another rollback. ``unchanged``: whether the live files are still those of the backup."""
        marker = self._folder / key / RESTORED
        if not os.path.lexists(marker):
            return None
        record = _read_marker(marker)
        if nonce and record.get("nonce") != nonce:
            return None
        try:
            text, files = self._read(key)
        except StateError:
            return {"sha256": str(record.get("sha256", ""))[:64], "unchanged": False}
        return {"sha256": hashlib.sha256(text).hexdigest(), "unchanged": self._is_live(files)}

    def _is_live(self, files: Mapping[str, tuple[str, int]]) -> bool:
        """Whether the order state is exactly those files."""
        live = {path.name: checksum(path) for path in state_files(self._state)}
        return live == {name: sha256 for name, (sha256, _) in files.items()}

    def prune(self, keep: int, *, protect: str) -> None:
        """Keep the newest ``keep`` backups, and ``protect`` whatever its age."""
        for key in self.ids()[keep:]:
            if key != protect:
                for path in (self._folder / f"{key}-replaced", self._folder / key):
                    self._hide(path)
        for path in self._folder.glob(".*.gone"):
            with contextlib.suppress(OSError):
                own.remove(path)

    def _hide(self, path: Path) -> None:
        """Remove a backup from the listing at once: a half removed one would count as damaged."""
        if os.path.lexists(path):
            self._step("hide")
            gone = path.with_name(f".{path.name}.gone")
            own.remove(gone)
            path.rename(gone)

    def _forget_marker(self) -> None:
        self._step("forget")
        own.remove(self._state / RESTORING)
        fsync_dir(self._state)

    def _own_folder(self) -> None:
        make_dirs(self._state)
        own.directory(self._folder)
        fsync_dir(self._state)

    def ids(self) -> list[str]:
        """Ids of the backups, newest first."""
        if not own.is_directory(self._folder):
            return []
        folders = [
            path
            for path in self._folder.iterdir()
            if own.is_directory(path)
            and own.is_file(path / MANIFEST)
            and not path.name.startswith(".")
            and not path.name.endswith("-replaced")
        ]
        return [path.name for path in sorted(folders, key=_age, reverse=True)]

    def _replace(self, key: str, files: Mapping[str, tuple[str, int]]) -> None:
        for path in _state_entries(self._state):
            if not own.is_file(path):
                own.remove(path)
        for name, (sha256, _) in sorted(files.items()):
            data = own.read(self._folder / key / name)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise StateError(f"{self._folder / key / name}: changed; remedy: repeat it")
            write_durable(self._state / name, data, step=self._step)
        for path in _state_entries(self._state):
            if path.name not in files:
                self._step("unlink")
                own.remove(path)
        fsync_dir(self._state)

    def _copy(self, files: list[Path], target: Path) -> None:
        """Copy into a folder that appears whole or not at all."""
        stage = target.with_name(f".{target.name}.tmp")
        self._own_folder()
        require_room(target.parent, sum(path.lstat().st_size for path in files))
        own.fresh_directory(stage)
        fsync_dir(target.parent)
        entries: dict[str, dict[str, Any]] = {}
        for path in files:
            write_durable(stage / path.name, own.read(path), step=self._step)
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
    """The generation of each snapshot that can be read; a backup also contains damaged ones."""
    generations = {}
    for name in names:
        if "_oms.json" in name:
            with contextlib.suppress(OSError, RunnerError):
                generations[name] = read_snapshot(folder / name, ORDER_BOOK).generation
    return generations


def _require_readable(folder: Path) -> None:
    """Raise :class:`~tradepulse_runner.errors.SchemaTooNew` when this release can't read a file of
    the backup. A damaged file is restored as it is: a backup is a copy of the state, damaged or
    not."""
    for path in state_files(folder):
        if "_journal." in path.name:
            scan(path.read_bytes(), name=str(path))
        else:
            with contextlib.suppress(SnapshotDamaged):
                read_snapshot(path, ORDER_BOOK)


def require_whole(state_dir: Path) -> None:
    """Raise :class:`StateError` while a restore is half done: its files are of two states."""
    if (state_dir / RESTORING).exists():
        raise StateError(
            f"{state_dir / RESTORING}: a restore was interrupted; remedy: repeat it with "
            "'tradepulse-runner state prepare --restore ID', the id is in that file"
        )


def manifest_files(manifest: Any) -> dict[str, tuple[str, int]]:
    """SHA-256 and size by name. Raises ValueError for a name that is no state file's, TypeError,
    LookupError or ArithmeticError for what is no manifest."""
    files = {str(n): (str(e["sha256"]), int(e["bytes"])) for n, e in manifest["files"].items()}
    for name in files:
        if not is_state_file(name):
            raise ValueError(f"it names the file {name[:_LONGEST_NAME]!r}")
    return files


def _read_marker(path: Path) -> Mapping[str, Any]:
    """A marker's content; empty where it can't be read."""
    try:
        record = json.loads(own.read(path))
    except (OSError, RecursionError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _echo(expected: Expected) -> dict[str, str]:
    """The nonce, returned as proof that this very rollback was carried out."""
    return {"nonce": expected.nonce} if expected.nonce else {}


def checked(key: str) -> str:
    """A key is a folder's name, and must not lead out of its folder."""
    if not key or key.startswith(".") or "/" in key or "\0" in key or len(key) > _LONGEST_KEY:
        raise StateError(f"backup id {key!r} is not usable; remedy: use letters, digits and '-'")
    return key


def _age(path: Path) -> float:
    """When a backup was made; one without a readable time counts as the oldest."""
    try:
        return float(_read_marker(path / MANIFEST)["at"])
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return 0.0


def as_json(result: BackupResult) -> dict[str, Any]:
    """The result as the operator reads it."""
    return asdict(result)
