"""Finding what a cluster left, and judging what the API server says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import netguard, processes, progress, traces, verify
from tests.support.cluster.settings import Paths


def test_only_mounts_below_the_folders_are_ours() -> None:
    mounts = (
        "overlay /cache/containers/storage/overlay/1/merged overlay rw 0 0\n"
        "tmpfs /cache-of-another tmpfs rw 0 0\n"
        "ext4 /cache/with\\040space ext4 rw 0 0\n"
    )
    assert traces.mounts_below(mounts, (Path("/cache"),)) == [
        "/cache/containers/storage/overlay/1/merged",
        "/cache/with space",
    ]


def test_children_of_an_interrupted_start_are_found_and_ended(tmp_path: Path) -> None:
    paths = Paths(root=tmp_path, cache=tmp_path / "cache")
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={processes.MARKER: str(paths.build)},
    )
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert processes.marked(paths) == [child.pid]
        processes.end_marked(paths)
        assert child.wait(timeout=10) != 0
        assert other.poll() is None
    finally:
        for process in (child, other):
            process.kill()
            process.wait()


def test_a_second_command_learns_who_has_the_lock(tmp_path: Path) -> None:
    paths = Paths(root=tmp_path, cache=tmp_path)
    with (
        processes.only_one(paths),
        pytest.raises(processes.Busy, match=r"process \d+"),
        processes.only_one(paths),
    ):
        pass
    with processes.only_one(paths):
        pass


def test_guard_lets_pass_only_the_bridge_and_the_machine_itself() -> None:
    targets = [rule[-1] for rule in netguard.rules()]
    assert targets == ["RETURN", "RETURN", "REJECT", "REJECT"]
    assert netguard.rules()[-1][:2] == ["-d", "198.18.0.0/15"]


def test_node_is_judged_by_its_ready_condition() -> None:
    node = {
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1"},
        }
    }
    assert verify.node_check({"items": [node]}).ok
    assert not verify.node_check({"items": []}).ok


def test_storage_class_must_be_marked_as_default() -> None:
    plain = {"metadata": {"name": "a"}}
    default = {"metadata": {"name": "b", "annotations": {verify.DEFAULT_CLASS: "true"}}}
    assert not verify.storage_check({"items": [plain]}).ok
    assert verify.storage_check({"items": [plain, default]}).detail == "b"


def test_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"
    with (
        pytest.raises(progress.StepFailed, match=r"(?s)exit code 3.*the reason"),
        progress.Progress().step("A step") as step,
    ):
        step.run(["sh", "-c", "echo the reason; exit 3"], log)


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (65, "1m05s"), (600, "10m00s")])
def test_elapsed_time(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text
