"""up, down, status: the order in which the parts are called."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.cluster import (
    hoststate,
    kind,
    netguard,
    nodeimage,
    preflight,
    processes,
    toolchain,
    traces,
    verify,
)
from tests.support.cluster.podman import Podman, configure, pipe
from tests.support.cluster.progress import Progress, Step, StepFailed
from tests.support.cluster.settings import CLUSTER, NODE, PROBE_IMAGE, Paths


class Refused(RuntimeError):
    """The machine is not fit; nothing was changed."""


def up(paths: Paths, progress: Progress) -> None:
    """A healthy cluster, whatever was there before."""
    said = preflight.problems(preflight.look(paths))
    if said:
        raise Refused("\n".join(said))
    with processes.only_one(paths):
        processes.mark(paths)
        if healthy(paths):
            progress.note(f"Cluster {CLUSTER} is up and healthy: {paths.kubeconfig}")
            return
        _clear(paths, progress)
        tools = toolchain.ensure(paths, progress)
        image = nodeimage.ensure(paths, tools, progress)
        _start(paths, tools, image, progress)
    progress.note(f"Cluster {CLUSTER} is up: export KUBECONFIG={paths.kubeconfig}")


def _start(
    paths: Paths, tools: toolchain.Toolchain, image: nodeimage.NodeImage, progress: Progress
) -> None:
    hoststate.record(paths)
    # kind mounts it into the node, even where no module is ever loaded from it.
    hoststate.KERNEL_MODULES.mkdir(exist_ok=True)
    netguard.install()
    with progress.step("Creating the cluster") as step:
        kind.create(paths, tools.podman, image, step)
    # In case podman put a rule of its own before the guard after all.
    netguard.install()
    if image.prebuilt:
        with progress.step("Loading the probe's image") as step:
            _load_probe(paths, tools, step)
    with progress.step("Checking the cluster") as step:
        verify.settle(paths, tools.podman, step)
        verify.fetch_through_service(paths, step)


def _load_probe(paths: Paths, tools: toolchain.Toolchain, step: Step) -> None:
    archive = paths.scratch / "probe.tar"
    paths.scratch.mkdir(parents=True, exist_ok=True)
    nodeimage.build_probe(paths, tools, step)
    tools.podman.run("save", "--quiet", "--output", archive, PROBE_IMAGE)
    load_images(paths, archive)
    archive.unlink()


def _clear(paths: Paths, progress: Progress) -> None:
    """Remains of an `up` that did not finish, of a cluster that is no longer healthy, or of another
    checkout's: a machine holds one cluster."""
    if not paths.host_state.exists() and not _node_runs(paths):
        return
    with progress.step("Removing a half-made or unhealthy cluster") as step:
        traces.remove(paths, configure(paths), step)


def _node_runs(paths: Paths) -> bool:
    return shutil.which("podman") is not None and configure(paths).container_running(NODE)


def down(paths: Paths, progress: Progress) -> None:
    with processes.only_one(paths), progress.step(f"Removing cluster {CLUSTER}") as step:
        traces.remove(paths, configure(paths), step)


def status(paths: Paths) -> list[verify.Check]:
    return verify.checks(paths, Podman(paths))


def healthy(paths: Paths) -> bool:
    if not paths.kubeconfig.exists() or not paths.kubectl.exists():
        return False
    return all(check.ok for check in status(paths))


def load_images(paths: Paths, archive: Path) -> None:
    """Stream the archive into the node's containerd: `kind load` copies it twice more."""
    podman = configure(paths)
    if not podman.container_running(NODE):
        raise StepFailed("no cluster to load images into: run `make cluster-up` first")
    importer = ["ctr", "--namespace=k8s.io", "images", "import", "--snapshotter=overlayfs", "-"]
    pipe(
        ["cat", str(archive)],
        podman.argv("exec", "--interactive", NODE, *importer),
        podman.full_environment(),
    )
