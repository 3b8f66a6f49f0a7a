"""Regular files and directories only: no link leads a reader or a writer out of the volume.

What runs next to, or before, this code on the same volume may be a release that is being rolled
back. It may have left a link, a pipe or a directory under any name; those are refused when read and
removed when something is to be written in their place.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

#: Modes of what is made anew; the volume's group may read.
FILE_MODE, DIRECTORY_MODE = 0o640, 0o750
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def is_file(path: Path) -> bool:
    """Whether it is a regular file itself, and no link to one."""
    return _is(path, stat.S_ISREG)


def is_directory(path: Path) -> bool:
    """Whether it is a directory itself, and no link to one."""
    return _is(path, stat.S_ISDIR)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.lstat().st_mode)
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return False


def opened(path: Path) -> int:
    """Descriptor of a regular file, to read. Raises OSError for anything else, a link to one
    included."""
    fd = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def read(path: Path) -> bytes:
    """Content of a regular file. Raises OSError for anything else, a link to one included."""
    with open(opened(path), "rb") as handle:
        return handle.read()


def lock_file(path: Path) -> int:
    """Descriptor of a file to lock, made where there is none. Raises OSError."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def create(path: Path) -> int:
    """Descriptor of a new, empty file; whatever had the name is gone. Raises OSError."""
    remove(path)
    return os.open(path, _CREATE, FILE_MODE)


def remove(path: Path) -> None:
    """Remove what has the name: a link itself, not its target. Raises OSError."""
    if is_directory(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def directory(path: Path) -> None:
    """Ensure that there is a real directory; a link or a file in its place is removed, and
    missing permissions of its owner are restored. Its parent must exist. Raises OSError."""
    if not is_directory(path):
        remove(path)
        path.mkdir(mode=DIRECTORY_MODE)
    elif path.lstat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(DIRECTORY_MODE)


def fresh_directory(path: Path) -> None:
    """An empty directory; whatever had the name is gone. Raises OSError."""
    remove(path)
    path.mkdir(mode=DIRECTORY_MODE)
