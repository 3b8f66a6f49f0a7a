"""The cache between Argo CD's processes: Debian's Redis, without the package that starts it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.support.cluster import packages
from tests.support.cluster.progress import Step
from tests.support.cluster.settings import Paths
from tests.support.services.process import Child
from tests.support.services.service import LOOPBACK, free_port

#: The server itself: one program, which goes by the name that it is called by.
_PROGRAM = "redis-check-rdb"
_PACKAGE = "redis-tools"


def install(step: Step) -> None:
    """Have the program. Raises StepFailed."""
    if shutil.which(_PROGRAM):
        return
    packages.install(Paths.default(), step, _PACKAGE)


def start(folder: Path) -> tuple[Child, str]:
    """A server in memory alone, and its ``host:port``. Raises StepFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    program, port = folder / "redis-server", free_port()
    found = shutil.which(_PROGRAM)
    assert found is not None, "install() comes first"
    program.symlink_to(found)
    options = {"bind": LOOPBACK, "port": str(port), "save": "", "appendonly": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    child = Child([program, *words], folder / "redis.log", cwd=folder)
    child.wait_until(lambda: _listens(port), "redis-server")
    return child, f"{LOOPBACK}:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
