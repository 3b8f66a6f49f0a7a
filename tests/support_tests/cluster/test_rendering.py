"""Configuration that is made for podman, kind and Go."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import debian, gobuild, golang, kind, nodeimage, podman, settings
from tests.support.cluster.nodeimage import NodeImage
from tests.support.cluster.settings import Paths

PATHS = Paths(root=Path("/project"), cache=Path("/cache"))
BUILT = NodeImage("localhost/node:1", prebuilt=False, coredns_tag="v1.2.3", etcd_tag="3.4.5-0")
PULLED = NodeImage("docker.io/kindest/node:v1", prebuilt=True)


def test_containers_conf_on_a_legacy_host_without_the_right_to_raise_limits() -> None:
    text = podman.render_containers_conf(PATHS, legacy_cgroups=True, limits={"nofile": 2000})
    conf = tomllib.loads(text)
    assert conf["engine"]["runtime"] == "runc"
    assert conf["containers"]["default_ulimits"] == ["nofile=2000:2000"]
    assert conf["network"]["network_config_dir"] == "/cache/containers/networks"


def test_containers_conf_on_a_current_host() -> None:
    conf = tomllib.loads(podman.render_containers_conf(PATHS, legacy_cgroups=False, limits=None))
    assert "runtime" not in conf["engine"]
    assert "default_ulimits" not in conf["containers"]


def test_nothing_of_podman_is_under_etc() -> None:
    text = podman.render_containers_conf(PATHS, legacy_cgroups=True, limits=None)
    assert "/etc" not in text + podman.render_storage_conf(PATHS)


def test_network_has_the_name_kind_expects_and_the_bridge_the_guard_knows() -> None:
    network = json.loads(podman.render_network())
    assert (network["name"], network["network_interface"]) == ("kind", settings.BRIDGE)
    assert len(network["id"]) == 64


@pytest.mark.parametrize("legacy", [True, False])
def test_kubelet_is_configured_for_v1_only_where_it_is(legacy: bool) -> None:
    patches = kind_patches(BUILT, legacy)
    assert patches["KubeletConfiguration"].get("failCgroupV1") == (False if legacy else None)


def test_own_image_brings_its_own_cni_driver_and_versions() -> None:
    config = yaml.safe_load(kind.render_config(BUILT, legacy_cgroups=False))
    assert config["networking"]["disableDefaultCNI"] is True
    patches = kind_patches(BUILT, legacy=False)
    assert patches["KubeletConfiguration"]["cgroupDriver"] == "cgroupfs"
    assert patches["ClusterConfiguration"]["dns"]["imageTag"] == "v1.2.3"
    assert patches["ClusterConfiguration"]["etcd"]["local"]["imageTag"] == "3.4.5-0"


def test_a_pulled_image_is_left_as_it_is() -> None:
    config = yaml.safe_load(kind.render_config(PULLED, legacy_cgroups=False))
    assert config["networking"]["disableDefaultCNI"] is False
    assert "ClusterConfiguration" not in kind_patches(PULLED, legacy=False)


def test_static_pod_range_is_the_first_of_the_cluster() -> None:
    conflist = settings.NODE_FILES / "rootfs/etc/cni/net.d/10-tradepulse.conflist"
    bridge = json.loads(conflist.read_text())["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "198.18.0.0/24"}]]
    assert settings.POD_RANGE == "198.18.0.0/20"


def test_sandbox_image_is_one_of_those_in_the_node() -> None:
    config = tomllib.loads((settings.NODE_FILES / "rootfs/etc/containerd/config.toml").read_text())
    sandbox = config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"]
    assert sandbox in [part.image for part in nodeimage.components("base")]


def test_rlimits_leave_the_spec_and_nothing_else_does() -> None:
    spec = json.dumps({"process": {"rlimits": [1], "cwd": "/"}, "root": {}})
    assert json.loads(nodeimage.without_rlimits(spec)) == {"process": {"cwd": "/"}, "root": {}}


def test_hooks_run_in_a_stage_that_the_variant_has() -> None:
    assert debian.PROXY.hook_stage == "extract"
    assert debian.NODE.hook_stage == "customize"


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("1.26", (1, 26, 0)), ("go1.30", (1, 30, 0))],
)
def test_go_versions_compare_as_numbers(text: str, version: tuple[int, ...]) -> None:
    assert golang.parse(text) == version
    assert golang.parse("1.9.9") < version


def test_every_program_is_a_tool_of_go_mod() -> None:
    go_mod = (settings.GO_MODULE / "go.mod").read_text()
    for program in (*gobuild.HOST_PROGRAMS, *gobuild.NODE_PROGRAMS):
        assert f"\t{program}\n" in go_mod


def kind_patches(image: NodeImage, legacy: bool) -> dict[str, Any]:
    config = yaml.safe_load(kind.render_config(image, legacy_cgroups=legacy))
    patches = [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]
    return {patch["kind"]: patch for patch in patches}
