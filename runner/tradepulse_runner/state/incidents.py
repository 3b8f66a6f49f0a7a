"""Keeps the incident report on the state volume up to date while the runner runs.

The state container copied what was known when the previous release started. The outcome of
the rollback is known later: the mounted report is updated then, and so is its copy, which is
uploaded to the object store like the rest of the state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tradepulse_runner.files import own
from tradepulse_runner.files.snapshot import write_durable
from tradepulse_runner.state.directory import INCIDENTS, incident_folder, is_part

log = logging.getLogger(__name__)
ENV_DIR, ENV_ID = "TRADEPULSE_INCIDENT_DIR", "TRADEPULSE_INCIDENT_ID"
#: Seconds between two looks; the kubelet itself takes a minute to bring a change.
INTERVAL = 10.0


class Incident:
    """A report that is mounted at ``source``, and where its copy is."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._run(), name="incident")

    async def stop(self) -> None:
        """Stop copying; the next process continues."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""
        return {"report": self.target.name, "problem": self._problem}

    async def _run(self) -> None:
        """Copy until cancelled. An error is reported in the status and retried."""
        while True:
            try:
                if copied := await asyncio.to_thread(self.copy):
                    log.info("incident.copied", extra={"files": copied})
                self._problem = ""
            except OSError as error:  # the copy is auxiliary, the trading is not
                self._problem = type(error).__name__
                log.warning("incident.not_copied", extra={"error": self._problem})
            await asyncio.sleep(INTERVAL)

    def copy(self) -> int:
        """Copy what is new or changed, each file whole or not at all; how many. Raises OSError."""
        if not self.source.is_dir():
            return 0
        incident_folder(self.target.parent.parent, self.target.name)
        files = [path for path in self.source.iterdir() if path.is_file() and is_part(path.name)]
        changed = [path for path in sorted(files) if not _same(path, self.target / path.name)]
        for path in changed:
            write_durable(self.target / path.name, path.read_bytes())
        return len(changed)


def mounted(state_dir: Path, environ: Mapping[str, str]) -> Incident | None:
    """The report that the operator mounted, if it did."""
    source, key = environ.get(ENV_DIR, ""), environ.get(ENV_ID, "")
    if not source or not key or "/" in key or key.startswith("."):
        return None
    return Incident(Path(source), state_dir / INCIDENTS / key)


def _same(one: Path, other: Path) -> bool:
    return own.is_file(other) and one.read_bytes() == own.read(other)
