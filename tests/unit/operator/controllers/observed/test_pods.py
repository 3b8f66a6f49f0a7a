"""A pod's manifest → the view that decisions rest on."""

from __future__ import annotations

from typing import Any

import pytest

from tradepulse_operator.controllers.observed.pods import address, pod_view


def pod(
    runner: dict[str, Any] | None = None, state: dict[str, Any] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "btc-0",
            "namespace": "ns",
            "uid": "u",
            "labels": {"tradepulse.io/release": "abc"},
            "annotations": {"tradepulse.io/trading": "halt x cutover"},
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "sidecar"}, {"name": "runner", **(runner or {})}],
            "initContainerStatuses": [{"name": "state", **(state or {})}],
            **status,
        },
    }


def test_a_running_pod() -> None:
    found = pod_view(
        pod(
            {"state": {"running": {}}, "imageID": "r@sha256:1", "restartCount": 2},
            {"state": {"terminated": {"exitCode": 0, "message": '{"ok":true}'}}},
        )
    )
    assert (found.uid, found.release, found.ready, found.deleting) == ("u", "abc", True, False)
    assert (found.image_id, found.restarts, found.waiting) == ("r@sha256:1", 2, "")
    assert (found.init_exit, found.init_message) == (0, '{"ok":true}')
    assert found.annotations == {"tradepulse.io/trading": "halt x cutover"}


def test_a_pod_that_was_just_made_has_no_status_yet() -> None:
    found = pod_view({"metadata": {"uid": "u"}})
    assert (found.phase, found.ready, found.init_exit, found.image_id) == ("", False, None, None)


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName"])
def test_stuck_containers_are_named(reason: str) -> None:
    stuck = {"state": {"waiting": {"reason": reason}}}
    assert pod_view(pod(stuck)).waiting == reason
    assert pod_view(pod({}, stuck)).waiting == reason


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_what_passes_by_itself_is_not_stuck(reason: str) -> None:
    assert pod_view(pod({"state": {"waiting": {"reason": reason}}})).waiting == ""


def test_a_state_container_that_failed_and_waits_keeps_its_last_word() -> None:
    failed = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "message": "no"}},
    }
    found = pod_view(pod({}, failed))
    assert (found.init_exit, found.init_message) == (3, "no")


def test_a_state_container_that_runs_again_has_not_ended() -> None:
    again = {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 3}}}
    assert pod_view(pod({}, again)).init_exit is None


def test_only_a_running_process_is_asked() -> None:
    assert address(pod({"state": {"running": {}}})) == "10.0.0.1"
    assert address(pod({"state": {"waiting": {}}})) == ""
    assert address(pod({"state": {"running": {}}}, podIP=None)) == ""
    assert address({}) == ""
