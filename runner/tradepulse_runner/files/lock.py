"""One process per state directory: a second one fails at once.

The kernel drops the lock with the process, so a kill -9 leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tradepulse_runner.errors import StateError
from tradepulse_runner.files import own
from tradepulse_runner.files.snapshot import make_dirs

#: In every state directory that a runner, or its init container, has used.
LOCK_FILE = ".lock"


class StateLock:
    """Exclusive use of ``state_dir`` until :meth:`release` or the end of the process."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / LOCK_FILE
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock or raise :class:`StateError` at once: the other process may have open
        orders."""
        make_dirs(self._path.parent)
        fd = own.lock_file(self._path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(fd)
            raise StateError(
                f"{self._path.parent}: another process works on this state directory; "
                "remedy: stop it first, two writers would double the orders"
            ) from exc
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the lock for a block."""
    lock = StateLock(state_dir)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
