"""One PostgreSQL server: its data directory, its port, its process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster.progress import StepFailed
from tests.support.services.postgres import programs
from tests.support.services.process import Child

#: Only with a certificate that our authority issued to the name that is asked for.
_HBA = """\
hostssl all         all        all cert clientcert=verify-full
hostssl replication replicator all cert clientcert=verify-full
"""


class Node:
    """A server at ``host``:``port`` with its files below ``folder``."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.data, self.log = folder / "data", folder / "server.log"
        self.host, self.port = host, port
        self._child: Child | None = None

    def initialise(self, settings: dict[str, str]) -> None:
        """A new, empty cluster with ``settings``."""
        run("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        (self.data / "pg_hba.conf").write_text(_HBA)
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        with (self.data / "postgresql.conf").open("a") as out:
            out.write("\n".join(["", *lines, ""]))

    def copy_of(self, conninfo: str, *, follow: bool = True) -> None:
        """A copy of the running server at ``conninfo``; ``follow``: which streams from it."""
        shutil.rmtree(self.data, ignore_errors=True)
        extra = ["-R", "-X", "stream"] if follow else ["-X", "none"]
        run("pg_basebackup", "-d", conninfo, "-D", self.data, "-c", "fast", "--no-sync", *extra)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Returns once it answers; raises StepFailed with the log's end."""
        command: list[str | Path] = [programs.program("postgres"), "-D", self.data]
        command += ["-c", f"port={self.port}"]
        self._child = Child(command, self.log, user=programs.user())
        self._child.wait_until(self.answers, f"PostgreSQL at {self.host}:{self.port}")

    def answers(self) -> bool:
        ready = [str(programs.program("pg_isready")), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def promote(self) -> None:
        """From a replica to a primary; returns once it is one."""
        run("pg_ctl", "promote", "-D", self.data, "-w", "-t", "30")

    def stop(self) -> None:
        """In order: what was committed is in its WAL and in that of its replicas."""
        if self._child is not None:
            self._child.stop(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to all of it; each of its processes leads a group of its own."""
        if self._child is None or not self._child.running:
            return
        workers = _children(self._child.pid)
        self._child.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run(name: str, *words: str | Path) -> None:
    """One of PostgreSQL's programs, as the server's user. Raises StepFailed with what it said."""
    command = [str(programs.program(name)), *(str(word) for word in words)]
    done = subprocess.run(
        command,
        user=programs.user(),
        group=programs.user(),
        extra_groups=[] if programs.user() else None,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise StepFailed(f"{name} failed: {(done.stderr or done.stdout)[-800:]}")


def own(paths: Sequence[Path]) -> None:
    """Give files and folders to the server's user."""
    uid, gid = programs.ids()
    for path in paths:
        os.chown(path, uid, gid)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()]
