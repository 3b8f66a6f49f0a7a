"""Who started what: one cluster command at a time, and no child outlives `down`."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.cluster.settings import Paths

MARKER = "TRADEPULSE_CLUSTER_BUILD"
GRACE_SECONDS = 3.0


class Busy(RuntimeError):
    """Another cluster command is running."""


@contextmanager
def only_one(paths: Paths) -> Iterator[None]:
    """Hold the checkout's lock. The kernel drops it if this process dies, however it dies."""
    paths.lock.parent.mkdir(parents=True, exist_ok=True)
    # Appending, because opening for writing would wipe the holder's pid before we know it is free.
    with paths.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Busy(
                f"another cluster command is running here (process {holder}): wait for it to end"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def mark(paths: Paths) -> None:
    """Whatever we start inherits this, so that `down` can find it after a crash."""
    os.environ[MARKER] = str(paths.build)


def environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")


def program(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def marked(paths: Paths, spare: Collection[str] = ()) -> list[int]:
    """Processes that an `up` of this checkout started, but for this one and its parents."""
    wanted = f"{MARKER}={paths.build}".encode()
    own = ancestors(os.getpid())
    return [
        pid
        for pid, words in environments()
        if wanted in words and pid not in own and program(pid) not in spare
    ]


def ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            # The program's name, in parentheses, may hold spaces.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def end_marked(paths: Paths, spare: Collection[str] = ()) -> None:
    """End what an interrupted `up` left running."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(paths, spare):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + GRACE_SECONDS
        while marked(paths, spare) and time.monotonic() < deadline:
            time.sleep(0.1)
