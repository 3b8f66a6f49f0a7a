"""Firewall rules that keep the cluster's addresses, and the cluster's packets, on this machine.

Without them a Service that kube-proxy never programmed, or an address of a cluster that is gone,
would send packets out by the default route. The rules name the bridge only as the exception, so
they hold before the bridge exists and after it has gone.
"""

from __future__ import annotations

import subprocess

from tests.support.cluster.settings import BRIDGE, GUARDED_RANGE

CHAIN = "TRADEPULSE-GUARD"
HOOKS = ("FORWARD", "OUTPUT")
# podman's network helper puts a jump to this chain first, ahead of the guard, unless it is there
# already: so we put it there, behind the guard, before podman starts.
HELPER_CHAIN = "NETAVARK_FORWARD"
HELPER_JUMP = ("-m", "comment", "--comment", "netavark firewall plugin rules", "-j", HELPER_CHAIN)


class GuardFailed(RuntimeError):
    """iptables refused; without the guard no cluster is started."""


def rules() -> list[list[str]]:
    """In the order in which the kernel reads them."""
    return [
        # The machine's own addresses, which is how it reaches the published API server port.
        ["-o", "lo", "-j", "RETURN"],
        # From the cluster to the cluster or from the machine to the cluster.
        ["-o", BRIDGE, "-j", "RETURN"],
        # From the cluster to anywhere else.
        ["-i", BRIDGE, "-j", "REJECT"],
        # From anywhere to the cluster's ranges, by any other way.
        ["-d", GUARDED_RANGE, "-j", "REJECT"],
    ]


def install() -> None:
    """Put the guard first in its hooks. Repeatable, and never absent in between."""
    if not _iptables("-n", "-L", CHAIN):
        _must("-N", CHAIN)
        for rule in rules():
            _must("-A", CHAIN, *rule)
    _iptables("-N", HELPER_CHAIN)
    if not _iptables("-C", "FORWARD", *HELPER_JUMP):
        _must("-A", "FORWARD", *HELPER_JUMP)
    for hook in HOOKS:
        if _first_jump(hook) == CHAIN:
            continue
        _must("-I", hook, "1", "-j", CHAIN)
        _drop_later_jumps(hook)


def remove() -> None:
    for hook in HOOKS:
        while _iptables("-D", hook, "-j", CHAIN):
            pass
    if _iptables("-F", CHAIN):
        _must("-X", CHAIN)


def problems() -> list[str]:
    """What is wrong with the guard, in words; empty if it stands."""
    listed = _listing(CHAIN)
    found = [
        f"{hook} does not start with the guard" for hook in HOOKS if _first_jump(hook) != CHAIN
    ]
    if len(listed) != len(rules()):
        found.append(f"the guard has {len(listed)} rules instead of {len(rules())}")
    return found


def _first_jump(hook: str) -> str:
    listed = _listing(hook)
    return listed[0].split()[-1] if listed else ""


def _drop_later_jumps(hook: str) -> None:
    """podman may have pushed the guard down; the copy at the top is already in force."""
    listed = _listing(hook)
    places = [n for n, rule in enumerate(listed, start=1) if rule.split()[-1] == CHAIN]
    for place in reversed(places[1:]):
        _must("-D", hook, str(place))


def _listing(chain: str) -> list[str]:
    shown = subprocess.run(
        ["iptables", "-w", "-S", chain], capture_output=True, text=True, check=False
    )
    return [line for line in shown.stdout.splitlines() if line.startswith("-A")]


def _iptables(*args: str) -> bool:
    return (
        subprocess.run(["iptables", "-w", *args], capture_output=True, check=False).returncode == 0
    )


def _must(*args: str) -> None:
    result = subprocess.run(["iptables", "-w", *args], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise GuardFailed(f"iptables {' '.join(args)}: {result.stderr.strip()}")
