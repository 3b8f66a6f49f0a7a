"""Telling cgroup v1, hybrid and v2 apart."""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import cgroups
from tests.support.cluster.cgroups import Mode

V1 = """\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
"""
UNIFIED = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,relatime 0 0\n"


def test_v1() -> None:
    found = cgroups.parse_mounts(V1)
    assert found.mode is Mode.V1
    assert found.legacy
    assert not found.missing
    assert Path("/sys/fs/cgroup/memory") in found.mounts


def test_hybrid_counts_as_legacy_because_v1_holds_the_controllers() -> None:
    found = cgroups.parse_mounts(V1 + UNIFIED)
    assert found.mode is Mode.HYBRID
    assert found.legacy


def test_v2_reads_its_controllers_from_the_file() -> None:
    found = cgroups.parse_mounts(V2, "cpuset cpu io memory pids\n")
    assert found.mode is Mode.V2
    assert not found.legacy
    assert not found.missing


def test_missing_controllers_are_named() -> None:
    assert cgroups.parse_mounts(V2, "cpu").missing == {"memory", "pids"}


def test_leftovers_are_removed_with_what_is_below_them(tmp_path: Path) -> None:
    group = tmp_path / "libpod_parent"
    (group / "libpod-1" / "kubelet").mkdir(parents=True)
    cgroups.remove(group)
    assert not group.exists()


def test_a_branch_in_which_something_lives_stays_whole(tmp_path: Path) -> None:
    group = tmp_path / "libpod_parent"
    alive = group / "libpod-1"
    (alive / "kubelet" / "idle").mkdir(parents=True)
    (alive / "kubelet" / "cgroup.procs").write_text("42\n")
    (group / "libpod-2" / "kubelet").mkdir(parents=True)
    cgroups.remove(group)
    assert (alive / "kubelet" / "idle").is_dir()
    assert not (group / "libpod-2").exists()


def test_own_groups_include_the_root() -> None:
    assert cgroups.own_groups("9:name=systemd:/\n4:memory:/a/b\n0::/\n") == {"", "a/b"}
