"""Debian packages that the cluster needs on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from tests.support.cluster.progress import Progress, Step
from tests.support.cluster.settings import Paths

# program → package that brings it
HOST_PROGRAMS = {
    "podman": "podman",
    "conmon": "conmon",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "gcc": "gcc libc6-dev",
}
# podman's network helper is in no PATH
HOST_FILES = {
    "netavark": ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"),
}


def missing_packages() -> list[str]:
    programs = [pkg for name, pkg in HOST_PROGRAMS.items() if not shutil.which(name)]
    files = [
        pkg for pkg, places in HOST_FILES.items() if not any(os.path.exists(p) for p in places)
    ]
    return " ".join(programs + files).split()


def ensure(paths: Paths, progress: Progress) -> None:
    missing = missing_packages()
    if not missing:
        return
    with progress.step(f"Installing {', '.join(missing)}") as step:
        install(paths, step, *missing)


def install(paths: Paths, step: Step, *names: str) -> None:
    """Have Debian's packages of these names. Raises StepFailed."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if not _known(names):
        step.run(["apt-get", "update"], paths.logs / "apt-update.log", env=env)
    words = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    step.run(words, paths.logs / "apt-install.log", env=env)


def _known(packages: Sequence[str]) -> bool:
    """Whether apt's lists name these packages; a fresh container image comes without lists."""
    shown = subprocess.run(
        ["apt-cache", "show", *packages], capture_output=True, text=True, check=False
    )
    return shown.returncode == 0
