"""What the machine looked like before the cluster, so that `down` can put it back."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.support.cluster.settings import Paths

# Not namespaced: kubelet and the network setup change them for the whole machine.
SYSCTLS = (
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
KERNEL_MODULES = Path("/lib/modules")
NETWORK_NAMESPACES = Path("/run/netns")
TABLES = ("filter", "nat")
# Chains that podman's network helper makes and never takes away.
CHAIN_PREFIX = "NETAVARK"


@dataclass(frozen=True)
class HostState:
    sysctls: dict[str, str]
    chains: dict[str, list[str]]
    namespaces: list[str]
    # podman mounts this folder onto itself when it makes the first namespace.
    namespace_mount: bool = True
    kernel_modules: bool = True


def record(paths: Paths) -> None:
    """Once: a second `up` over a half-made cluster must not take our traces for the machine's."""
    if paths.host_state.exists():
        return
    paths.host_state.parent.mkdir(parents=True, exist_ok=True)
    draft = paths.host_state.with_suffix(".part")
    draft.write_text(json.dumps(asdict(observe()), indent=2) + "\n")
    draft.rename(paths.host_state)


def parse(text: str) -> HostState:
    """Whatever an older or newer checkout did not record is left alone."""
    known = {field.name for field in fields(HostState)}
    return HostState(**{name: value for name, value in json.loads(text).items() if name in known})


def observe() -> HostState:
    return HostState(
        sysctls={name: value for name in SYSCTLS if (value := _read_sysctl(name)) is not None},
        chains={table: _chains(table) for table in TABLES},
        namespaces=_namespaces(),
        namespace_mount=os.path.ismount(NETWORK_NAMESPACES),
        kernel_modules=KERNEL_MODULES.exists(),
    )


def restore(paths: Paths) -> None:
    """Undo what is ours. Without a record nothing was changed by us yet."""
    if not paths.host_state.exists():
        return
    before = parse(paths.host_state.read_text())
    for name, value in before.sysctls.items():
        if _read_sysctl(name) != value:
            with suppress(OSError):
                (Path("/proc/sys") / name).write_text(value)
    for table in TABLES:
        _remove_chains(table, set(_chains(table)) - set(before.chains.get(table, [])))
    for name in set(_namespaces()) - set(before.namespaces):
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    if not before.namespace_mount and not _namespaces():
        _drop_namespace_folder()
    if not before.kernel_modules:
        with suppress(OSError):
            KERNEL_MODULES.rmdir()
    paths.host_state.unlink()


def _read_sysctl(name: str) -> str | None:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return None


def _drop_namespace_folder() -> None:
    while os.path.ismount(NETWORK_NAMESPACES):
        if subprocess.run(["umount", NETWORK_NAMESPACES], check=False).returncode != 0:
            return
    with suppress(OSError):
        NETWORK_NAMESPACES.rmdir()


def _namespaces() -> list[str]:
    with suppress(OSError):
        return sorted(p.name for p in NETWORK_NAMESPACES.iterdir() if p.name.startswith("netns-"))
    return []


def _chains(table: str) -> list[str]:
    return [line.split()[1] for line in _rules(table) if line.startswith(f"-N {CHAIN_PREFIX}")]


def _rules(table: str) -> list[str]:
    with suppress(OSError):
        shown = subprocess.run(
            ["iptables", "-w", "-t", table, "-S"], capture_output=True, text=True, check=False
        )
        return shown.stdout.splitlines()
    return []


def _remove_chains(table: str, chains: set[str]) -> None:
    """First every jump to them, then what is in them, then themselves."""
    for rule in _rules(table):
        words = rule.split()
        if rule.startswith("-A") and "-j" in words and words[words.index("-j") + 1] in chains:
            _iptables(table, "-D", *rule_words(rule)[1:])
    for action in ("-F", "-X"):
        for chain in chains:
            _iptables(table, action, chain)


def rule_words(rule: str) -> list[str]:
    """`iptables -S` quotes comments; split as a shell would."""
    return shlex.split(rule)


def _iptables(table: str, *args: str) -> None:
    subprocess.run(["iptables", "-w", "-t", table, *args], capture_output=True, check=False)
