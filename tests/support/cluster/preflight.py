"""Reasons why a cluster cannot be made here, each in one sentence, before anything is changed."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support.cluster import cgroups, golang, packages
from tests.support.cluster.settings import BRIDGE, GUARDED_RANGE, Paths

GIB = 1024**3
COLD_DISK = 14 * GIB
WARM_DISK = 4 * GIB
MEMORY = 3 * GIB


@dataclass(frozen=True)
class Machine:
    """What the checks judge: gathered by `look`, made up by the tests."""

    uid: int
    system: str
    apt: bool
    missing_packages: tuple[str, ...]
    go: bool
    pip: bool
    cold: bool
    free_disk: int
    memory: int
    cache: Path
    cgroups: cgroups.Cgroups
    # interface → addresses and routes that are not ours
    networks: dict[str, list[str]]


def look(paths: Paths) -> Machine:
    existing = next(p for p in (paths.cache, *paths.cache.parents) if p.exists())
    return Machine(
        uid=os.geteuid(),
        system=platform.system(),
        apt=shutil.which("apt-get") is not None,
        missing_packages=tuple(packages.missing_packages()),
        go=golang.usable() is not None or (paths.cache / "go-dist").exists(),
        pip=find_spec("pip") is not None,
        cold=not (paths.cache / "bin").exists(),
        free_disk=shutil.disk_usage(existing).free,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cache=paths.cache,
        cgroups=cgroups.detect(),
        networks=_networks(),
    )


def problems(machine: Machine) -> list[str]:
    """The first sentence of each check that fails; empty means go."""
    return [said for check in CHECKS if (said := check(machine)) is not None]


def _user(machine: Machine) -> str | None:
    if machine.system != "Linux":
        return f"the cluster needs Linux, this is {machine.system}: use a virtual machine"
    if machine.uid != 0:
        return "the cluster needs root (podman, mounts, firewall): run it with sudo"
    return None


def _packages(machine: Machine) -> str | None:
    if machine.missing_packages and not machine.apt:
        names = ", ".join(machine.missing_packages)
        return f"missing: {names}; there is no apt-get here, so install them by hand"
    return None


def _go(machine: Machine) -> str | None:
    if not machine.go and not machine.pip:
        wanted = ".".join(str(part) for part in golang.needed_version())
        return f"no Go ≥ {wanted}, and no pip to fetch it with: install Go, or pip"
    return None


def _disk(machine: Machine) -> str | None:
    needed = COLD_DISK if machine.cold else WARM_DISK
    if machine.free_disk < needed:
        return (
            f"{machine.cache} has {machine.free_disk / GIB:.1f} GiB free of the "
            f"{needed / GIB:.0f} needed: free some, or point TRADEPULSE_CACHE elsewhere"
        )
    return None


def _memory(machine: Machine) -> str | None:
    if machine.memory < MEMORY:
        return f"{machine.memory / GIB:.1f} GiB of memory, {MEMORY / GIB:.0f} needed: add some"
    return None


def _cgroups(machine: Machine) -> str | None:
    missing = machine.cgroups.missing
    if missing:
        names = ", ".join(sorted(missing))
        return f"cgroup controllers not mounted: {names}; enable them on the kernel command line"
    return None


def _ranges(machine: Machine) -> str | None:
    ours = ipaddress.ip_network(GUARDED_RANGE)
    for interface, networks in machine.networks.items():
        for network in networks:
            if ipaddress.ip_network(network, strict=False).overlaps(ours):
                return (
                    f"{interface} uses {network}, inside the cluster's {GUARDED_RANGE}: "
                    "take it down, or run the cluster on another machine"
                )
    return None


CHECKS: tuple[Callable[[Machine], str | None], ...] = (
    _user,
    _packages,
    _go,
    _disk,
    _memory,
    _cgroups,
    _ranges,
)


def _networks() -> dict[str, list[str]]:
    """From `ip route`; the default route is everybody's, and the bridge is ours."""
    try:
        shown = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, check=False)
        routes = json.loads(shown.stdout or b"[]")
    except (OSError, ValueError):
        return {}
    found: dict[str, list[str]] = {}
    for route in routes:
        interface = route.get("dev", "unknown")
        if route["dst"] != "default" and interface != BRIDGE:
            found.setdefault(interface, []).append(route["dst"])
    return found
