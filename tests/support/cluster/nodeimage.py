"""The image of kind's node: a registry's where there is one, else made of packages here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import debian, gobuild
from tests.support.cluster.progress import Progress, Step
from tests.support.cluster.settings import (
    NODE_FILES,
    PREBUILT_NODE_IMAGE,
    PROBE_IMAGE,
    Paths,
    inputs_key,
    module_version,
)
from tests.support.cluster.toolchain import Toolchain

PAUSE_TAG = "3.10.2"
REPOSITORY = "registry.k8s.io"
# No step of these builds runs anything, so none needs a network.
BUILD = ("build", "--layers=false", "--network=none")
UNITS = (
    "containerd.service",
    "kubelet.service",
    "node-images.service",
    "state-volumes.service",
    "undo-mount-hacks.service",
)
# program → where it belongs in the node
NODE_PROGRAMS = {
    "kubelet": "usr/bin",
    "kubeadm": "usr/bin",
    "kubectl": "usr/bin",
    "containerd": "usr/local/bin",
    "containerd-shim-runc-v2": "usr/local/bin",
    "ctr": "usr/local/bin",
}


@dataclass(frozen=True)
class NodeImage:
    name: str
    prebuilt: bool
    coredns_tag: str = ""
    etcd_tag: str = ""


@dataclass(frozen=True)
class Component:
    """An image with one program in it, under the name that kubeadm expects."""

    program: str
    image: str
    base: str = "scratch"

    @property
    def containerfile(self) -> str:
        return (
            f"FROM {self.base}\n"
            f"COPY {self.program} /usr/local/bin/{self.program}\n"
            "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            f'ENTRYPOINT ["/usr/local/bin/{self.program}"]\n'
        )


def components(proxy_base: str) -> list[Component]:
    version = module_version(gobuild.KUBERNETES)
    plain = [
        Component(name, f"{REPOSITORY}/{name}:{version}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    coredns_tag, etcd_tag = dependency_tags()
    return [
        *plain,
        Component("kube-proxy", f"{REPOSITORY}/kube-proxy:{version}", proxy_base),
        Component("coredns", f"{REPOSITORY}/coredns/coredns:{coredns_tag}"),
        Component("etcd", f"{REPOSITORY}/etcd:{etcd_tag}"),
        Component("pause", f"{REPOSITORY}/pause:{PAUSE_TAG}"),
    ]


def dependency_tags() -> tuple[str, str]:
    """kubeadm would ask for its own idea of the CoreDNS and etcd versions."""
    coredns = module_version("github.com/coredns/coredns")
    etcd = module_version("go.etcd.io/etcd/server/v3")
    return coredns, f"{etcd.lstrip('v')}-0"


def ensure(paths: Paths, tools: Toolchain, progress: Progress) -> NodeImage:
    if tools.prebuilt_node:
        return NodeImage(PREBUILT_NODE_IMAGE, prebuilt=True)
    key = inputs_key(
        NODE_FILES / "rootfs",
        NODE_FILES / "node.Containerfile",
        tools.bin_dir.name,
        debian.NODE.image,
        debian.PROXY.image,
    )
    coredns_tag, etcd_tag = dependency_tags()
    image = NodeImage(f"localhost/tradepulse/node:{key}", False, coredns_tag, etcd_tag)
    if not tools.podman.image_exists(image.name):
        _build(image, paths, tools, progress)
    return image


def _build(image: NodeImage, paths: Paths, tools: Toolchain, progress: Progress) -> None:
    podman = tools.podman
    with progress.step("Building the node's base from Debian packages") as step:
        node_base = debian.ensure(debian.NODE, paths, podman, step)
        proxy_base = debian.ensure(debian.PROXY, paths, podman, step)
    with _scratch_folder(paths, "node-image") as work:
        with progress.step("Building the control plane's images") as step:
            _component_archive(components(proxy_base), paths, tools, work, step)
        with progress.step("Building the node image") as step:
            _assemble_rootfs(work / "rootfs", paths, tools)
            options = [
                f"--build-arg=BASE={node_base}",
                f"--tag={image.name}",
                f"--file={NODE_FILES / 'node.Containerfile'}",
            ]
            step.run(
                podman.argv(*BUILD, *options, work),
                paths.logs / "node-image.log",
                env=podman.full_environment({"TMPDIR": str(paths.scratch)}),
            )


def _component_archive(
    parts: list[Component], paths: Paths, tools: Toolchain, work: Path, step: Step
) -> None:
    gobuild.pause_program(paths, tools.bin_dir)
    env = tools.podman.full_environment({"TMPDIR": str(paths.scratch)})
    for part in parts:
        containerfile = work / "Containerfile"
        containerfile.write_text(part.containerfile)
        options = [f"--tag={part.image}", f"--file={containerfile}"]
        step.run(
            tools.podman.argv(*BUILD, *options, tools.bin_dir),
            paths.logs / f"image-{part.program}.log",
            env=env,
        )
    build_probe(paths, tools, step)
    images = [*(part.image for part in parts), PROBE_IMAGE]
    save = ["save", "--quiet", "--multi-image-archive", "--output"]
    step.run(
        tools.podman.argv(*save, work / "images.tar", *images),
        paths.logs / "image-archive.log",
        env=env,
    )
    # With one name only, podman would take away every name that the image has.
    tools.podman.run("untag", PROBE_IMAGE, PROBE_IMAGE)
    tools.podman.run("rmi", "--force", *images[:-1])


def build_probe(paths: Paths, tools: Toolchain, step: Step) -> None:
    """The probe alone, for a node image that comes from a registry."""
    base = debian.ensure(debian.PROXY, paths, tools.podman, step)
    tools.podman.run("tag", base, PROBE_IMAGE)


def _assemble_rootfs(rootfs: Path, paths: Paths, tools: Toolchain) -> None:
    """kind's own files, then ours over them, then the programs."""
    kind_version = module_version("sigs.k8s.io/kind")
    kind_files = paths.go_modules / f"sigs.k8s.io/kind@{kind_version}" / "images/base/files"
    for source in (kind_files, NODE_FILES / "rootfs"):
        shutil.copytree(source, rootfs, dirs_exist_ok=True, copy_function=shutil.copyfile)
    _set_modes(rootfs)
    for program, folder in NODE_PROGRAMS.items():
        (rootfs / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(tools.bin_dir / program, rootfs / folder / program)
    wants = rootfs / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for unit in UNITS:
        (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")
    (rootfs / "kind/version").write_text(module_version(gobuild.KUBERNETES))
    spec = subprocess.run(
        [tools.bin_dir / "ctr", "oci", "spec"], capture_output=True, text=True, check=True
    )
    (rootfs / "etc/containerd/cri-base.json").write_text(without_rlimits(spec.stdout))


def without_rlimits(oci_spec: str) -> str:
    """The default spec raises limits, which is refused without CAP_SYS_RESOURCE."""
    spec = json.loads(oci_spec)
    spec["process"].pop("rlimits", None)
    return json.dumps(spec, indent=1)


def _set_modes(rootfs: Path) -> None:
    """Go's module cache has read-only files and no executable bits."""
    scripts = (rootfs / "usr/local/bin", rootfs / "kind/bin")
    for place, _, files in os.walk(rootfs):
        os.chmod(place, 0o755)
        for name in files:
            os.chmod(os.path.join(place, name), 0o755 if Path(place) in scripts else 0o644)


@contextmanager
def _scratch_folder(paths: Paths, name: str) -> Iterator[Path]:
    work = paths.scratch / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
