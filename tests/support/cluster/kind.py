"""kind: its configuration, and the calls that make and remove the cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import cgroups
from tests.support.cluster.nodeimage import NodeImage
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Step
from tests.support.cluster.settings import CLUSTER, NODE, POD_RANGE, SERVICE_RANGE, Paths

LABEL = f"io.x-k8s.kind.cluster={CLUSTER}"
WAIT_READY = "180s"


def render_config(image: NodeImage, *, legacy_cgroups: bool) -> str:
    kubelet: dict[str, Any] = {
        "kind": "KubeletConfiguration",
        # Prometheus sees a new target once its mounted configuration is synced, and what a test
        # kills is to come back: with the defaults either may take minutes.
        "syncFrequency": "5s",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
    }
    if legacy_cgroups:
        kubelet["failCgroupV1"] = False
    patches: list[dict[str, Any]] = [kubelet]
    if not image.prebuilt:
        # Our containerd has the cgroupfs driver, and the images carry their own versions.
        kubelet["cgroupDriver"] = "cgroupfs"
        patches.append(
            {
                "kind": "ClusterConfiguration",
                "dns": {"imageTag": image.coredns_tag},
                "etcd": {"local": {"imageTag": image.etcd_tag}},
            }
        )
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": CLUSTER,
        "networking": {
            "ipFamily": "ipv4",
            "apiServerAddress": "127.0.0.1",
            "podSubnet": POD_RANGE,
            "serviceSubnet": SERVICE_RANGE,
            "disableDefaultCNI": not image.prebuilt,
            "kubeProxyMode": "iptables",
        },
        "kubeadmConfigPatches": [yaml.safe_dump(patch, sort_keys=False) for patch in patches],
        "nodes": [{"role": "control-plane", "image": image.name}],
    }
    return str(yaml.safe_dump(config, sort_keys=False))


def environment(paths: Paths, podman: Podman) -> Mapping[str, str]:
    return podman.full_environment(
        {
            "KIND_EXPERIMENTAL_PROVIDER": "podman",
            "PATH": f"{paths.bin}:{os.environ['PATH']}",
            "KUBECONFIG": str(paths.kubeconfig),
        }
    )


def create(paths: Paths, podman: Podman, image: NodeImage, step: Step) -> None:
    """`--retain` keeps a failed node for looking at; the next `up` or `down` removes it."""
    config = paths.build / "kind.yaml"
    config.write_text(render_config(image, legacy_cgroups=cgroups.detect().legacy))
    draft = paths.kubeconfig.with_suffix(".part")
    draft.unlink(missing_ok=True)
    files: list[str | Path] = ["--config", config, "--kubeconfig", draft]
    step.run(
        [paths.kind, "create", "cluster", *files, "--wait", WAIT_READY, "--retain"],
        paths.logs / "kind-create.log",
        env=environment(paths, podman),
    )
    draft.rename(paths.kubeconfig)


def remove(podman: Podman) -> None:
    """What `kind delete cluster` does, without needing kind: it may not be built yet."""
    for name in podman.run(
        "ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}"
    ).split():
        podman.run("rm", "--force", "--volumes", "--time", "0", name)
    for name in podman.run(
        "volume", "ls", "--filter", f"label={NODE}", "--format", "{{.Name}}"
    ).split():
        podman.run("volume", "rm", "--force", name)
