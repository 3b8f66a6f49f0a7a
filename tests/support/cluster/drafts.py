"""Folders of the cache appear whole, and each is made once, however many processes want it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(target: Path) -> Iterator[Path | None]:
    """An empty folder in which to make `target`, which gets its name at the end, at once; None
    when `target` is there, perhaps from another process that was waited for.

    The cache belongs to every checkout and to every worker of a test run. The kernel drops the
    lock of a process that dies, and the next one begins with an empty draft.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        draft = target.with_name(f"{target.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        yield draft
        draft.rename(target)
