"""What the other parts of the end-to-end suite use of the cluster.

    from tests.support.cluster import api
    tools = api.ensure_toolchain()          # podman and the Go programs, built once
    podman = api.podman()                   # podman.run("build", "--network=host", …)
    podman.run("save", "--multi-image-archive", "--output", archive, *images)
    api.up()
    api.load_images(archive)                # into the node, whatever the node image
    subprocess.run([api.paths.kubectl, "--kubeconfig", api.paths.kubeconfig, …])

Images built here have no registry: use `imagePullPolicy: IfNotPresent` or `Never`, and name them
with a registry part (`localhost/…`), else podman and containerd disagree on their full name.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import lifecycle, toolchain
from tests.support.cluster.podman import Podman, PodmanFailed, configure
from tests.support.cluster.progress import Progress, StepFailed
from tests.support.cluster.settings import Paths
from tests.support.cluster.toolchain import Toolchain

__all__ = [
    "Podman",
    "PodmanFailed",
    "StepFailed",
    "Toolchain",
    "down",
    "ensure_podman",
    "ensure_toolchain",
    "load_images",
    "paths",
    "podman",
    "up",
]

paths = Paths.default()


def podman() -> Podman:
    """podman with the project's configuration; installs nothing."""
    return configure(paths)


def ensure_podman() -> Podman:
    """podman, installed if need be: enough for building images, no Go needed."""
    return toolchain.ensure_podman(paths, Progress())


def ensure_toolchain() -> Toolchain:
    """podman and every Go program ready; from the cache in a second, cold in many minutes."""
    return toolchain.ensure(paths, Progress())


def load_images(archive: Path) -> None:
    """Import an archive of `podman save` (docker or OCI format, one or many images)."""
    lifecycle.load_images(paths, archive)


def up() -> None:
    lifecycle.up(paths, Progress())


def down() -> None:
    lifecycle.down(paths, Progress())
