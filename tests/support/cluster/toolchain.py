"""Programs that the cluster is made with, ready to use: podman and what Go builds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import gobuild, packages, registry
from tests.support.cluster.podman import Podman, configure
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import Paths

LINKED = ("kubectl", "kind", "ctr")


@dataclass(frozen=True)
class Toolchain:
    podman: Podman
    bin_dir: Path
    # A registry has a node image ready: the cluster's own programs were not built.
    prebuilt_node: bool

    @property
    def kubectl(self) -> Path:
        return self.bin_dir / "kubectl"

    @property
    def kind(self) -> Path:
        return self.bin_dir / "kind"

    @property
    def prometheus_operator(self) -> Path:
        return self.bin_dir / "prometheus-operator"

    @property
    def config_reloader(self) -> Path:
        return self.bin_dir / "prometheus-config-reloader"


def ensure_podman(paths: Paths, progress: Progress) -> Podman:
    packages.ensure(paths, progress)
    return configure(paths)


def ensure(paths: Paths, progress: Progress) -> Toolchain:
    podman = ensure_podman(paths, progress)
    prebuilt = registry.node_image_available(podman, progress)
    programs = gobuild.HOST_PROGRAMS + (() if prebuilt else gobuild.NODE_PROGRAMS)
    bin_dir = gobuild.ensure(paths, progress, programs)
    link(paths, bin_dir)
    return Toolchain(podman, bin_dir, prebuilt)


def link(paths: Paths, bin_dir: Path) -> None:
    paths.bin.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        place = paths.bin / name
        place.unlink(missing_ok=True)
        if (bin_dir / name).exists():
            place.symlink_to(bin_dir / name)
