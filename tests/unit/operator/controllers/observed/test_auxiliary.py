"""Pods beside the runner's own → what the cutover's reconciler sees."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator.engine_world import EngineWorld, cutover
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.observed.auxiliary import auxiliary_view
from tradepulse_operator.manager import key as keys

AT = "2027-01-15T08:16:00Z"


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "check-u",
            "namespace": "ns",
            "uid": "p",
            "creationTimestamp": AT,
            "ownerReferences": [{"uid": "u"}],
        },
        "status": {"containerStatuses": [{"name": "runner", **(container or {})}], **status},
    }


def ended(code: int, message: str = "") -> dict[str, Any]:
    state = {"exitCode": code, "message": message, "finishedAt": AT}
    return {"imageID": "sha256:1", "state": {"terminated": state}}


def test_its_answer_is_taken() -> None:
    found = auxiliary_view(pod(ended(1, "{}"), phase="Failed"), "u")
    assert found
    assert (found.ended, found.exit_code, found.message) == (True, 1, "{}")
    assert (found.image_id, found.ended_at) == ("sha256:1", instant(AT))


@pytest.mark.parametrize(
    ("container", "status"),
    [
        ({}, {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
        (ended(137), {"phase": "Failed", "reason": "DeadlineExceeded", "message": "low on memory"}),
    ],
)
def test_a_pod_that_was_ended_is_distinguished_from_one_that_answered(
    container: dict[str, Any], status: dict[str, Any]
) -> None:
    found = auxiliary_view(pod(container, **status), "u")
    assert found
    assert found.ended
    assert found.exit_code is None
    assert found.message in ("low on memory", "")


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_the_two_reasons_of_one_fault_have_the_same_words(reason: str) -> None:
    waiting = {"waiting": {"reason": reason, "message": f"back-off {reason}"}}
    found = auxiliary_view(pod({"state": waiting}, phase="Pending"), "u")
    assert found
    assert (
        found.waiting
        == "the image can't be pulled: check its name, and whether the node may pull it"
    )
    assert not found.ended


def test_a_namesake_is_nobodys() -> None:
    assert auxiliary_view(pod(phase="Running"), "another") is None


async def test_pods_are_read_only_where_the_policy_asks_for_them() -> None:
    world = EngineWorld()
    body = cutover("Preflight")
    body["metadata"]["uid"] = "u"
    world.kube.put(body)
    world.kube.put(pod(ended(0), phase="Succeeded"))
    seen = await world.observer.cutover(keys.cutover("ns", "btc-1"))
    assert seen
    assert seen.check is None
    world.kube.put({**body, "spec": {**body["spec"], "checklist": [{"name": "image"}]}})
    seen = await world.observer.cutover(keys.cutover("ns", "btc-1"))
    assert seen
    assert seen.check
    assert seen.rehearsal is None
