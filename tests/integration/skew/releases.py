"""Releases of the runner beside this one: the previous one, from the repository's own history, and
a next one that raises every schema that may be raised."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import history
from tests.support.runner.process import ROOT, RunnerProcess


@dataclass(frozen=True)
class Installed:
    """A release by the directory that its package lies in."""

    name: str
    path: Path

    def made(self, folder: Path, **config: Any) -> RunnerProcess:
        """A process of this release, not started yet."""
        return self.take(RunnerProcess(folder, **config))

    def take(self, runner: RunnerProcess) -> RunnerProcess:
        """The same runner, whose next process is of this release."""
        runner.environ = {"PYTHONPATH": str(self.path)}
        return runner

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of this release."""
        return subprocess.run(
            [sys.executable, "-m", "tradepulse_runner", *words],
            env={**os.environ, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def this() -> Installed:
    """The release of this checkout."""
    return Installed("this", ROOT / "runner")


def previous(folder: Path) -> Installed:
    """The release before, taken out of the repository's history into ``folder``."""
    try:
        history.extract(folder, "runner")
    except history.NotInHistory as error:
        pytest.fail(str(error), pytrace=False)
    return Installed("previous", folder / "runner")


def following(folder: Path) -> Installed:
    """A release after this one: every number that may rise has risen, and a frozen file has a key
    that this release doesn't know."""
    shutil.copytree(ROOT / "runner" / "tradepulse_runner", folder / "tradepulse_runner")
    schema = folder / "tradepulse_runner" / "files" / "schema.py"
    _rewrite(schema, r'(Schema\("[^"]+", )(\d+)\)', lambda m: f"{m[1]}{int(m[2]) + 1})", least=3)
    epoch = folder / "tradepulse_runner" / "oms" / "epoch.py"
    _rewrite(
        epoch, r'"incarnation": incarnation\}', lambda m: f'{m[0][:-1]}, "later": 1}}', least=1
    )
    return Installed("next", folder)


def _rewrite(path: Path, pattern: str, change: Any, *, least: int) -> None:
    text, times = re.subn(pattern, change, path.read_text())
    assert times >= least, f"{path}: {times} of {least} places to change"
    path.write_text(text)
