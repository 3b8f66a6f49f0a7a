"""The release before this one, out of the repository's own history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Until there is a tag: the commit of the release before this one. Protocol 0 was frozen from it,
#: see docs/decisions/0033-protocol-0.md.
PREVIOUS = "4049fdd75f4c208b6a446b001af8cfeec4f21dd2"


class NotInHistory(RuntimeError):
    """The checkout's history is too short."""


def extract(folder: Path, *paths: str, commit: str = PREVIOUS) -> None:
    """Put the files of ``commit``, or those below ``paths`` alone, into ``folder``. A shallow clone
    fetches that commit from where it came from. Raises :class:`NotInHistory`."""
    packed = _archive(commit, paths)
    if packed.returncode:
        _git("fetch", "--quiet", "origin", commit)
        packed = _archive(commit, paths)
    if packed.returncode:
        raise NotInHistory(
            f"the previous release, commit {commit}, isn't in this checkout's history:"
            f" {packed.stderr.decode().strip()}; run `git fetch --unshallow`"
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _archive(commit: str, paths: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    return _git("archive", commit, "--", *paths) if paths else _git("archive", commit)


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, timeout=120, check=False
    )
