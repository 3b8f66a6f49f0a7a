"""PostgreSQL's programs, from Debian's packages; a cluster of the system's own is left alone."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.support.cluster import packages
from tests.support.cluster.progress import Step, StepFailed
from tests.support.cluster.settings import Paths

_ROOT = Path("/usr/lib/postgresql")
#: Read by the packages' scripts: without it, an installation starts a server at port 5432.
_CREATE = Path("/etc/postgresql-common/createcluster.conf")
OLDEST = 15


def folder() -> Path | None:
    """Where the programs of the newest version lie; None when there are none that will do."""
    found = [each for each in _ROOT.glob("*") if (each / "bin" / "postgres").is_file()]
    versions = sorted((int(each.name), each) for each in found if each.name.isdigit())
    return versions[-1][1] / "bin" if versions and versions[-1][0] >= OLDEST else None


def program(name: str) -> Path:
    """Raises StepFailed while nothing is installed."""
    found = folder()
    if found is None:
        raise StepFailed(f"no PostgreSQL {OLDEST} or newer in {_ROOT}: run install() first")
    return found / name


def user() -> str | None:
    """Whom the server runs as: it refuses to be root; None: ourselves."""
    return "postgres" if os.geteuid() == 0 else None


def ids() -> tuple[int, int]:
    """User and group that own the server's files."""
    name = user()
    if name is None:
        return os.geteuid(), os.getegid()
    found = pwd.getpwnam(name)
    return found.pw_uid, found.pw_gid


def ensure(step: Step) -> None:
    """Have the programs; a moment when they are there. Raises StepFailed."""
    if folder() is not None:
        return
    if os.geteuid() != 0:
        raise StepFailed("PostgreSQL isn't installed: apt-get install postgresql, as root")
    if not _CREATE.exists():
        _CREATE.parent.mkdir(parents=True, exist_ok=True)
        _CREATE.write_text("create_main_cluster = false\n")
    packages.install(Paths.default(), step, "postgresql")
