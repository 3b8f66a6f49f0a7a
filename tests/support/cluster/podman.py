"""podman with a configuration of this project's own, so nothing under /etc is read or changed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.cluster import cgroups
from tests.support.cluster.settings import (
    BRIDGE,
    NETWORK,
    NODE_FILES,
    NODE_GATEWAY,
    NODE_RANGE,
    SPARE_RANGE,
    Paths,
    inputs_key,
)

CAP_SYS_RESOURCE = 1 << 24


class PodmanFailed(RuntimeError):
    """podman ended with an error; the message holds what it said."""


class Podman:
    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    @property
    def environment(self) -> dict[str, str]:
        """For podman itself and for programs that call it, like kind."""
        return {
            "CONTAINERS_CONF": str(self.paths.containers / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.paths.containers / "storage.conf"),
        }

    def full_environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, **self.environment, **(extra or {})}

    def run(
        self,
        *args: str | Path,
        stdin: int | None = None,
        timeout: float | None = None,
    ) -> str:
        """Run podman and return what it printed; raise with its error text if it fails."""
        result = subprocess.run(
            self.argv(*args),
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.full_environment(),
            timeout=timeout,
            check=False,
        )
        if result.returncode != 0:
            said = result.stderr.strip() or result.stdout.strip()
            raise PodmanFailed(f"podman {args[0]}: exit code {result.returncode}: {said}")
        return result.stdout

    def succeeds(self, *args: str | Path) -> bool:
        try:
            self.run(*args)
        except PodmanFailed:
            return False
        return True

    def image_exists(self, image: str) -> bool:
        return self.succeeds("image", "exists", image)

    def container_running(self, name: str) -> bool:
        try:
            shown = self.run("container", "inspect", "--format", "{{.State.Running}}", name)
        except PodmanFailed:
            return False
        return shown.strip() == "true"

    @staticmethod
    def argv(*args: str | Path) -> list[str]:
        return ["podman", *(str(arg) for arg in args)]


def configure(paths: Paths) -> Podman:
    """Write podman's configuration into the cache. Cheap, so done on every start."""
    paths.containers.mkdir(parents=True, exist_ok=True)
    networks = paths.containers / "networks"
    networks.mkdir(exist_ok=True)
    (paths.containers / "containers.conf").write_text(
        render_containers_conf(
            paths,
            legacy_cgroups=cgroups.detect().legacy,
            limits=None if may_raise_limits() else hard_limits(),
        )
    )
    (paths.containers / "storage.conf").write_text(render_storage_conf(paths))
    (networks / f"{NETWORK}.json").write_text(render_network())
    return Podman(paths)


def render_containers_conf(
    paths: Paths, *, legacy_cgroups: bool, limits: Mapping[str, int] | None
) -> str:
    template = (NODE_FILES / "containers.conf").read_text()
    ulimits = ", ".join(f'"{name}={value}:{value}"' for name, value in (limits or {}).items())
    return template.format(
        default_ulimits=f"default_ulimits = [{ulimits}]" if limits else "",
        dns_server=NODE_GATEWAY,
        # Debian's crun refuses v1 and hybrid hierarchies; on v2 either runtime does.
        runtime='runtime = "runc"' if legacy_cgroups else "",
        spare_range=SPARE_RANGE,
        networks=paths.containers / "networks",
        static_dir=paths.containers / "libpod",
        tmp_dir=paths.runtime_state / "libpod",
        volumes=paths.containers / "volumes",
    )


def render_storage_conf(paths: Paths) -> str:
    return (
        "[storage]\n"
        'driver = "overlay"\n'
        f'graphroot = "{paths.containers / "storage"}"\n'
        f'runroot = "{paths.runtime_state / "storage"}"\n'
    )


def render_network() -> str:
    """kind's network, under the name kind expects but on a bridge whose name we know.

    The guard is set up before the network exists, so it must know the bridge beforehand.
    """
    network = {
        "name": NETWORK,
        "id": (inputs_key(NETWORK, BRIDGE) * 6)[:64],
        "driver": "bridge",
        "network_interface": BRIDGE,
        "created": "2024-01-01T00:00:00Z",
        "subnets": [{"subnet": NODE_RANGE, "gateway": NODE_GATEWAY}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    return json.dumps(network, indent=2) + "\n"


def may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) & CAP_SYS_RESOURCE)


def hard_limits() -> dict[str, int]:
    """Without CAP_SYS_RESOURCE a container can have no more than this process may have."""
    return {
        "nofile": _hard(resource.RLIMIT_NOFILE, 1_048_576),
        "nproc": _hard(resource.RLIMIT_NPROC, 32_768),
    }


def _hard(limit: int, ceiling: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return ceiling if hard == resource.RLIM_INFINITY else min(hard, ceiling)


def pipe(producer: Sequence[str], consumer: Sequence[str], env: Mapping[str, str]) -> None:
    """producer | consumer, failing if either does."""
    with subprocess.Popen(
        producer, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(env)
    ) as first:
        second = subprocess.run(
            consumer, stdin=first.stdout, capture_output=True, text=True, env=dict(env), check=False
        )
        if first.stdout is not None:
            first.stdout.close()
        said = first.stderr.read().decode() if first.stderr is not None else ""
    if first.returncode != 0 or second.returncode != 0:
        raise PodmanFailed(f"{producer[0]} {producer[1]} failed: {said.strip()} {second.stderr}")
