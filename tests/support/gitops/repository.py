"""A Git repository on this machine, changed by commits alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.support.e2e.client import Manifest

BRANCH = "main"
#: Nothing of the machine's own configuration.
_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
_WHO = ("-c", "user.name=release engineer", "-c", "user.email=release@desk.example")


class Repository:
    """Folders of manifests, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._git("init", "--quiet", f"--initial-branch={BRANCH}")

    @property
    def url(self) -> str:
        return self._folder.as_uri()

    def commit(self, message: str, files: Mapping[str, Sequence[Manifest]]) -> str:
        """Write files by path, each with its documents; one without any is removed. Returns the
        revision."""
        for path, documents in files.items():
            file = self._folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if documents:
                file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
            else:
                file.unlink()
        self._git("add", "--all")
        self._git(*_WHO, "commit", "--quiet", "--message", message)
        return self._git("rev-parse", "HEAD")

    def revert(self) -> str:
        """Take the last commit back by another one. Returns the revision."""
        self._git(*_WHO, "revert", "--no-edit", "HEAD")
        return self._git("rev-parse", "HEAD")

    def _git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self._folder), *words],
            env={**os.environ, **_ENV},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
