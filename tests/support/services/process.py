"""A server's process: started, awaited, ended by its own id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.cluster.progress import StepFailed, tail

GRACE_SECONDS = 20.0


class Child:
    """One process with a log file, leader of its own group, so that its children end with it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, answers: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Return once ``answers`` is true; raises StepFailed with the log's end otherwise."""
        deadline = time.monotonic() + seconds
        while not answers():
            if not self.running:
                raise StepFailed(f"{what} ended: {self._end()}")
            if time.monotonic() > deadline:
                raise StepFailed(f"{what} did not answer within {seconds:.0f} s: {self._end()}")
            time.sleep(0.1)

    def wait(self, seconds: float = 60) -> None:
        """Until it ended by itself. Raises subprocess.TimeoutExpired."""
        self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to the whole group: what a lost machine looks like."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; after a grace period it is killed."""
        self.signal(number)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Tell the whole group, if there is one; returns at once."""
        if self.running:
            os.killpg(self.pid, number)

    def _end(self) -> str:
        return "\n".join(tail(self.log, 15)) or f"{self.log} is empty"


def answers(url: str) -> bool:
    """Whether a server answers there, with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False
