"""Operations on the state directory while no runner writes: prepare, inspect, verify, restore."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import RunnerError, SnapshotDamaged
from tradepulse_runner.files import own
from tradepulse_runner.files.lock import locked
from tradepulse_runner.files.schema import BACKUP, EPOCH, JOURNAL, ORDER_BOOK
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    fsync_dir,
    make_dirs,
    no_fault,
    read_snapshot,
    write_durable,
)
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.oms.journal import scan
from tradepulse_runner.release import load_release
from tradepulse_runner.state import view as state_view
from tradepulse_runner.state.backup import (
    NOTHING_EXPECTED,
    Backups,
    Expected,
    Result,
    as_json,
    checked,
    checksum,
    state_files,
)
from tradepulse_runner.state.view import venues

FROZEN = "frozen.json"
INCIDENTS = "incidents"


class Mode(StrEnum):
    """What a rollback does with the state: restore the backup, keep the current one, or freeze."""

    RESTORE = "restore"
    KEEP = "keep"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What to do, each part once. ``backup`` and ``restore``: ids of backups, the cutover's uid."""

    backup: str | None = None
    restore: str | None = None
    mode: Mode = Mode.RESTORE
    keep: int = 5
    incident_dir: Path | None = None
    expected: Expected = NOTHING_EXPECTED


def prepare(
    state_dir: Path,
    wanted: Preparation,
    *,
    clock: Callable[[], float],
    step: Step = no_fault,
) -> dict[str, Any]:
    """Carry out ``wanted``; the result is JSON values. Raises :class:`RunnerError`, OSError.

    Safe to run again after any interruption, and changes nothing when it was all done before.
    """
    make_dirs(state_dir)
    with locked(state_dir):
        return _prepare(state_dir, wanted, clock, step)


def _prepare(
    state_dir: Path, wanted: Preparation, clock: Callable[[], float], step: Step
) -> dict[str, Any]:
    backups = Backups(state_dir, clock=clock, step=step)
    result: dict[str, Any] = {}
    if wanted.backup:
        result["backup"] = as_json(backups.make(wanted.backup))
        backups.prune(wanted.keep, protect=wanted.backup)
    if wanted.restore:
        result["restore"] = _roll_back(state_dir, wanted.restore, wanted, backups, clock)
    key = wanted.restore or wanted.backup
    if wanted.incident_dir and key:
        result["incident"] = _keep_incident(state_dir, wanted.incident_dir, key)
    return {**result, "ok": True}


def _roll_back(
    state_dir: Path, key: str, wanted: Preparation, backups: Backups, clock: Callable[[], float]
) -> dict[str, Any]:
    mode = wanted.mode
    if mode is Mode.RESTORE:
        return backups.restore(key, expected=wanted.expected)
    if mode is Mode.KEEP:
        return {"id": key, "result": Result.KEPT, "skipped": "the current state is kept"}
    done, nonce = incident_folder(state_dir, key) / FROZEN, wanted.expected.nonce
    if _is_frozen(done, nonce):
        return {"id": key, "result": Result.FROZEN, "skipped": "frozen already"}
    KillSwitch(state_dir, clock=clock).engage(f"rollback {key} froze the state")
    write_durable(done, canonical({"at": clock(), "nonce": nonce}) + b"\n")
    return {"id": key, "result": Result.FROZEN, "frozen": True}


def _is_frozen(mark: Path, nonce: str) -> bool:
    """Whether the state was frozen, and, with a nonce, by this rollback."""
    try:
        return nonce in ("", json.loads(own.read(mark)).get("nonce"))
    except (OSError, AttributeError, RecursionError, ValueError):
        return False


def _keep_incident(state_dir: Path, source: Path, key: str) -> dict[str, Any]:
    """Copy the report that is mounted at ``source``."""
    if not source.is_dir():
        return {"files": 0}
    target = incident_folder(state_dir, key)
    files = [path for path in source.iterdir() if path.is_file() and is_part(path.name)]
    for path in files:
        write_durable(target / path.name, path.read_bytes())
    return {"files": len(files)}


def incident_folder(state_dir: Path, key: str) -> Path:
    """The folder of the incident with that id, made where there is none; no link leads elsewhere.
    Raises :class:`StateError` for an id that is none, OSError."""
    folder = state_dir / INCIDENTS / checked(key)
    make_dirs(state_dir)
    own.directory(folder.parent)
    own.directory(folder)
    fsync_dir(folder.parent)
    return folder


def is_part(name: str) -> bool:
    """Whether a file that is mounted is a part of the report: a mounted ConfigMap has hidden
    entries, and none of its keys is a marker of our own."""
    return not name.startswith(".") and name != FROZEN


def inspect(state_dir: Path, *, clock: Callable[[], float]) -> dict[str, Any]:
    """The state directory's content, for a person: snapshots with their journals replayed.
    Reads only, also while a runner runs."""
    switch = KillSwitch(state_dir, clock=clock)
    return {
        "venues": {venue: state_view.summary(state_dir, venue) for venue in venues(state_dir)},
        "kill_switch": {"engaged": switch.engaged, "reason": switch.reason},
        "epoch": _epoch(state_dir),
        "backups": Backups(state_dir, clock=clock).ids(),
    }


def _epoch(state_dir: Path) -> int | None:
    """The newest writer epoch; None when it can't be read."""
    try:
        return int(read_snapshot(state_dir / "epoch.json", EPOCH).payload["epoch"])
    except (OSError, RunnerError):
        return None


def export(state_dir: Path, *, clock: Callable[[], float]) -> dict[str, Any]:
    """:func:`inspect`, all orders, the files' checksums and what is wrong with them: JSON values.
    Only the order state is read: no credentials, nothing of the venue's."""
    overview = inspect(state_dir, clock=clock)
    return {
        "exported_at": clock(),
        "release": load_release().version,
        "schema": {each.kind: each.number for each in (ORDER_BOOK, JOURNAL, BACKUP)},
        **overview,
        "orders": {venue: state_view.orders(state_dir, venue) for venue in overview["venues"]},
        "files": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": checksum(path)}
            for path in state_files(state_dir)
        ],
        "problems": problems(state_dir, clock=clock),
    }


def restore(
    state_dir: Path, key: str, *, clock: Callable[[], float], step: Step = no_fault
) -> dict[str, Any]:
    """Restore backup ``key`` at a person's request, each time anew. The current state becomes
    the backup ``kept``, damaged or not. Raises :class:`StateError` while a runner runs,
    for a backup that is missing or damaged, each before anything changed."""
    backups = Backups(state_dir, clock=clock, step=step)
    backups.verify(key)  # also before the lock, which would make the directory
    with locked(state_dir):
        backups.verify(key)
        kept = backups.keep(f"before-{key}-{int(clock())}")
        return {**backups.restore(key, again=True), "kept": kept, "ok": True}


def _journal_problem(path: Path) -> str:
    try:
        damaged = scan(path.read_bytes(), name=str(path)).damaged
    except (RunnerError, OSError) as error:
        return str(error)
    return f"{path}: damaged in the middle; remedy: restore a backup" if damaged else ""


def problems(state_dir: Path, *, clock: Callable[[], float]) -> list[str]:
    """Every snapshot, journal and backup that can't be trusted, one sentence each; empty when all
    can. A torn tail is no damage: a crash leaves one, and the next start cuts it."""
    sentences = []
    for path in state_files(state_dir):
        if "_oms.json" in path.name:
            try:
                read_snapshot(path, ORDER_BOOK)
            except (SnapshotDamaged, RunnerError) as error:
                sentences.append(str(error))
        elif "_journal." in path.name and (why := _journal_problem(path)):
            sentences.append(why)
    backups = Backups(state_dir, clock=clock)
    for key in backups.ids():
        try:
            backups.verify(key)
        except RunnerError as error:
            sentences.append(str(error))
    return sentences
