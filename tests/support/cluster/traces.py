"""Removes whatever a cluster, whole or half made, leaves on the machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.cluster import cgroups, hoststate, kind, netguard, processes
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Step
from tests.support.cluster.settings import BRIDGE, Paths

CGROUP_NAMES = ("libpod_parent", "kubelet", "kubelet.slice")


def remove(paths: Paths, podman: Podman, step: Step) -> None:
    """Repeatable at any point of a life. The guard goes last: until then packets may flow."""
    step.waits_for("the node's container")
    processes.end_marked(paths, spare=("conmon",))
    if shutil.which("podman") and (paths.containers / "storage").exists():
        kind.remove(podman)
    processes.end_marked(paths)
    step.waits_for("mounts, network, control groups, firewall")
    subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
    idle = not podman_in_use(paths, podman)
    if idle:
        _unmount_below(paths.containers, paths.scratch, paths.runtime_state)
        shutil.rmtree(paths.runtime_state, ignore_errors=True)
        shutil.rmtree(paths.scratch, ignore_errors=True)
        for group in cgroups.leftovers(cgroups.detect(), CGROUP_NAMES):
            cgroups.remove(group)
    hoststate.restore(paths)
    if shutil.which("iptables"):
        netguard.remove()
    for name in ("kubeconfig", "kubeconfig.part", "kind.yaml"):
        (paths.build / name).unlink(missing_ok=True)


def podman_in_use(paths: Paths, podman: Podman) -> bool:
    """An image build, or another running container, in the storage we share with them."""
    if not shutil.which("podman") or not (paths.containers / "storage").exists():
        return False
    return bool(podman.run("ps", "--quiet").strip()) or _open_below(paths.containers)


def _open_below(folder: Path) -> bool:
    """Whether a living podman works in this storage."""
    wanted = f"CONTAINERS_STORAGE_CONF={folder / 'storage.conf'}".encode()
    for pid, words in processes.environments():
        if wanted in words and processes.program(pid) in {"podman", "buildah"}:
            return True
    return False


def _unmount_below(*folders: Path) -> None:
    """Deepest first, and lazily: a mount that is busy goes when its last user does."""
    for place in reversed(mounts_below(Path("/proc/self/mounts").read_text(), folders)):
        subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


def mounts_below(mounts: str, folders: tuple[Path, ...]) -> list[str]:
    found = []
    for line in mounts.splitlines():
        place = line.split()[1].encode().decode("unicode_escape")
        if any(Path(place).is_relative_to(folder) for folder in folders):
            found.append(place)
    return found
