"""Which cgroup version the machine has, and removing the groups that podman leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

NEEDED = frozenset({"cpu", "memory", "pids"})


class Mode(Enum):
    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


@dataclass(frozen=True)
class Cgroups:
    mode: Mode
    controllers: frozenset[str]
    mounts: tuple[Path, ...]

    @property
    def legacy(self) -> bool:
        """Resources are counted by v1 controllers: kubelet and the runtime must be told."""
        return self.mode is not Mode.V2

    @property
    def missing(self) -> frozenset[str]:
        return NEEDED - self.controllers


def parse_mounts(mounts: str, v2_controllers: str = "") -> Cgroups:
    """From the text of /proc/mounts (and of cgroup.controllers where v2 is alone)."""
    v1: set[str] = set()
    v2 = False
    places: list[Path] = []
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            v2 = True
        elif kind == "cgroup":
            v1.update(options.split(","))
        else:
            continue
        places.append(Path(place))
    if not v1:
        return Cgroups(Mode.V2, frozenset(v2_controllers.split()), tuple(places))
    return Cgroups(Mode.HYBRID if v2 else Mode.V1, frozenset(v1), tuple(places))


def detect() -> Cgroups:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    v2_controllers = controllers.read_text() if controllers.exists() else ""
    return parse_mounts(Path("/proc/mounts").read_text(), v2_controllers)


def leftovers(cgroups: Cgroups, names: Iterable[str]) -> list[Path]:
    """Groups of these names directly below a hierarchy or below this process's own group."""
    wanted = set(names)
    own = own_groups(Path("/proc/self/cgroup").read_text())
    parents = {mount / group for mount in cgroups.mounts for group in own}
    return sorted(
        child
        for parent in parents
        if parent.is_dir()
        for child in parent.iterdir()
        if child.name in wanted and child.is_dir()
    )


def own_groups(proc_self_cgroup: str) -> set[str]:
    groups = {line.split(":", 2)[2].strip("/") for line in proc_self_cgroup.splitlines() if line}
    return groups | {""}


def remove(group: Path) -> None:
    """Remove an empty group and those below it; a branch in which something lives stays whole.

    podman's parent group is shared by every podman on the machine, not all of them ours.
    """
    for branch in (child for child in group.iterdir() if child.is_dir()):
        if not _occupied(branch):
            _remove_empty(branch)
    with suppress(OSError):
        group.rmdir()


def _occupied(branch: Path) -> bool:
    files = (branch / "cgroup.procs", *branch.rglob("cgroup.procs"))
    return any(file.exists() and file.read_text().strip() for file in files)


def _remove_empty(branch: Path) -> None:
    below = [place for place in branch.rglob("*") if place.is_dir()]
    for place in (*sorted(below, reverse=True), branch):
        with suppress(OSError):
            place.rmdir()
