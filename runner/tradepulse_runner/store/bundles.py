"""Bundles in the object store: backups and incident reports, each with a manifest.

In the bucket: ``{prefix}/{namespace}/{runner}/{backups|incidents}/{id}/{file}``. The manifest goes
last: a bundle without one is incomplete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tradepulse_runner.config.runner import ObjectStoreConfig
from tradepulse_runner.errors import ObjectStoreError
from tradepulse_runner.files import own
from tradepulse_runner.files.schema import INCIDENT
from tradepulse_runner.files.snapshot import (
    Step,
    canonical,
    make_dirs,
    no_fault,
    write_durable,
)
from tradepulse_runner.state.backup import (
    FOLDER,
    MANIFEST,
    RESTORED,
    Backups,
    checked,
    checksum,
    manifest_files,
    require_room,
)
from tradepulse_runner.state.directory import INCIDENTS
from tradepulse_runner.store.bucket import Folder, Missing, Stored

KINDS = (FOLDER, INCIDENTS)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder to upload: the manifest's bytes, and each file's SHA-256 by name."""

    name: str
    folder: Path
    manifest: bytes
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """The manifest's checksum, which stands for all files."""
        return hashlib.sha256(self.manifest).hexdigest()


def names(state_dir: Path) -> list[str]:
    """``kind/id`` of everything that is on the volume, the oldest first."""
    clock = float  # ids are listed, nothing is written
    backups = Backups(state_dir, clock=clock).ids()
    incidents = state_dir / INCIDENTS
    folders = sorted(incidents.iterdir()) if own.is_directory(incidents) else []
    reports = [folder.name for folder in folders if own.is_directory(folder) and _files(folder)]
    return [*(f"{INCIDENTS}/{name}" for name in reports), *(f"{FOLDER}/{k}" for k in backups[::-1])]


def fingerprint(state_dir: Path, name: str) -> str:
    """Fingerprint of the bundle's file names, sizes and times; reads no content."""
    folder = state_dir / name
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in _files(folder)]
    return hashlib.sha256(canonical(stats)).hexdigest()


def bundle(state_dir: Path, name: str) -> Bundle:
    """Read and verify. Raises :class:`StateError` for a damaged backup, OSError."""
    kind, key = name.split("/", 1)
    folder = state_dir / name
    if kind == FOLDER:
        manifest, entries = Backups(state_dir, clock=float).manifest(key)
        return Bundle(name, folder, manifest, {n: str(e["sha256"]) for n, e in entries.items()})
    checksums = {path: checksum(path) for path in _files(folder)}
    files = {p.name: {"sha256": sha, "bytes": p.stat().st_size} for p, sha in checksums.items()}
    manifest = canonical({"schema": INCIDENT.number, "files": files}) + b"\n"
    return Bundle(name, folder, manifest, {path.name: sha for path, sha in checksums.items()})


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if own.is_file(path) and not path.name.startswith(".") and path.name != RESTORED
    )


def runner_prefix(config: ObjectStoreConfig, runner: str) -> str:
    """The runner's folder in the bucket; ``runner``: ``namespace/name``."""
    return "/".join(part for part in (*config.prefix.split("/"), runner) if part)


async def upload(root: Folder, content: Bundle) -> Stored:
    """Store a bundle, the manifest last. Raises :class:`ObjectStoreError`, OSError."""
    for name, sha256 in sorted(content.files.items()):
        await root.put(f"{content.name}/{name}", content.folder / name, sha256)
    return await root.put(f"{content.name}/{MANIFEST}", content.manifest, content.sha256)


async def stored(root: Folder) -> list[str]:
    """``kind/id`` of every complete bundle."""
    end = f"/{MANIFEST}"
    return [name.removesuffix(end) for name in await root.names() if name.endswith(end)]


async def download(
    root: Folder, state_dir: Path, key: str, *, clock: Callable[[], float], step: Step = no_fault
) -> None:
    """Download the backup ``key`` to the volume. Nothing changes until every checksum is verified;
    files that an earlier attempt downloaded are reused. Raises
    :class:`ObjectStoreError`, :class:`StateError`, OSError."""
    backups = Backups(state_dir, clock=clock, step=step)
    where = f"{FOLDER}/{key}"
    try:
        manifest = await root.read(f"{where}/{MANIFEST}")
    except Missing:
        raise ObjectStoreError(
            f"{root.address}: holds no backup {key}; remedy: 'state stored' lists those it holds"
        ) from None
    files = _wanted(manifest, f"{root.address}/{where}/{MANIFEST}")
    target = state_dir / where
    present = own.read(target / MANIFEST) if own.is_file(target / MANIFEST) else b""
    if own.is_directory(target) and present == manifest and not _damaged(target, files):
        return
    stage = target.with_name(f".{checked(key)}.fetched")
    make_dirs(state_dir)
    own.directory(stage.parent)
    own.directory(stage)
    missing = _damaged(stage, files)
    require_room(stage, sum(files[name][1] for name in missing))
    for name in missing:
        step(f"fetch {name}")
        await root.fetch(f"{where}/{name}", stage / name, files[name][0])
    write_durable(stage / MANIFEST, manifest, step=step)
    backups.adopt(key, stage)
    backups.verify(key)


def _wanted(manifest: bytes, where: str) -> dict[str, tuple[str, int]]:
    """SHA-256 and size by name, each that of a state file."""
    try:
        return manifest_files(json.loads(manifest))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        what = f"not a manifest: {type(error).__name__}"
        raise ObjectStoreError(f"{where}: {what}; remedy: use another backup") from None
    except ValueError as error:
        what = f"not a manifest: {error}"
        raise ObjectStoreError(f"{where}: {what}; remedy: use another backup") from None


def _damaged(folder: Path, files: Mapping[str, tuple[str, int]]) -> list[str]:
    """Files that are missing or not what they should be."""
    return [
        name
        for name, (sha256, _) in sorted(files.items())
        if not own.is_file(folder / name) or checksum(folder / name) != sha256
    ]
