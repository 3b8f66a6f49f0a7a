"""Root file systems from Debian packages alone: the node's base and kube-proxy's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Step
from tests.support.cluster.settings import Paths, inputs_key

SUITE = "bookworm"
UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Rootfs:
    name: str
    # mmdebstrap's: `minbase` is a system that boots, `extract` only unpacks packages and what
    # they depend on, so no library can be forgotten.
    variant: str
    packages: Sequence[str]
    hooks: Sequence[str] = ()

    @property
    def hook_stage(self) -> str:
        """The last stage that the variant has; hooks of later stages are silently not run."""
        return "extract" if self.variant == "extract" else "customize"

    @property
    def image(self) -> str:
        key = inputs_key(SUITE, self.variant, self.hook_stage, *self.packages, *self.hooks)
        return f"localhost/tradepulse/{self.name}:{key}"


# What kind's own base image holds, less what only its storage tests use.
NODE = Rootfs(
    "node-base",
    "minbase",
    (
        *("systemd", "dbus", "util-linux", "mount", "kmod", "procps", "jq", "curl"),
        *("conntrack", "iptables", "iproute2", "ethtool", "ca-certificates"),
        *("runc", "libseccomp2", "containernetworking-plugins"),
    ),
    (
        # As kind does: services that make no sense in a container.
        'find "$1/lib/systemd/system/sysinit.target.wants/" '
        "-name systemd-tmpfiles-setup.service -delete",
        'cd "$1" && rm -f lib/systemd/system/multi-user.target.wants/* '
        "etc/systemd/system/*.wants/* lib/systemd/system/local-fs.target.wants/* "
        "lib/systemd/system/sockets.target.wants/*udev* "
        "lib/systemd/system/sockets.target.wants/*initctl* "
        "lib/systemd/system/basic.target.wants/*",
        'echo ReadKMsg=no >> "$1/etc/systemd/journald.conf"',
        'ln -sf /lib/systemd/systemd "$1/usr/sbin/init"',
        # Would register itself with the machine's kernel.
        'ln -sf /dev/null "$1/etc/systemd/system/systemd-binfmt.service"',
        'mkdir -p "$1/opt/cni" "$1/etc/kubernetes/manifests" "$1/kind"',
        'ln -s /usr/lib/cni "$1/opt/cni/bin"',
    ),
)

# kube-proxy's base, and by its busybox the probe that `verify` runs as pods. The node's entrypoint
# picks the legacy programs where no rule exists yet; node and kube-proxy must agree.
PROXY = Rootfs(
    "proxy-base",
    "extract",
    ("iptables", "conntrack", "kmod", "busybox"),
    (
        "for name in iptables ip6tables; do for part in '' -save -restore; do "
        'ln -sf xtables-legacy-multi "$1/usr/sbin/$name$part"; done; done',
    ),
)


def ensure(rootfs: Rootfs, paths: Paths, podman: Podman, step: Step) -> str:
    """The image of this root file system, made if podman does not have it."""
    if podman.image_exists(rootfs.image):
        return rootfs.image
    paths.scratch.mkdir(parents=True, exist_ok=True)
    tar = paths.scratch / f"{rootfs.name}.tar"
    tar.unlink(missing_ok=True)
    step.run(_mmdebstrap(rootfs, tar), paths.logs / f"{rootfs.name}.log", env=_environment(paths))
    step.waits_for("podman import")
    podman.run("import", "--quiet", tar, rootfs.image)
    tar.unlink()
    return rootfs.image


def _mmdebstrap(rootfs: Rootfs, tar: Path) -> list[str | Path]:
    return [
        "mmdebstrap",
        f"--variant={rootfs.variant}",
        f"--include={','.join(rootfs.packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED),
        *(f"--{rootfs.hook_stage}-hook={hook}" for hook in rootfs.hooks),
        SUITE,
        tar,
    ]


def _environment(paths: Paths) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(paths.scratch)}
