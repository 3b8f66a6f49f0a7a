"""What the installation of Prometheus waits for, and when it gives up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.monitoring.install import CRASHES, available, crashed


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({"conditions": [{"type": "Available", "status": "True"}]}, ""),
        ({"conditions": [{"type": "Reconciled", "status": "True"}]}, "x: no word of it yet"),
        ({}, "x: no word of it yet"),
        (
            {"conditions": [{"type": "Available", "status": "False", "message": "no pod"}]},
            "x: no pod",
        ),
        (
            {"conditions": [{"type": "Available", "status": "Degraded", "reason": "Some"}]},
            "x: Some",
        ),
    ],
)
def test_available(status: dict[str, Any], missing: str) -> None:
    assert available("x", status) == missing


def pod(restarts: int, **state: Any) -> dict[str, Any]:
    one = {"name": "c", "restartCount": restarts, **state}
    return {"items": [{"metadata": {"name": "p"}, "status": {"containerStatuses": [one]}}]}


BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def test_a_container_that_only_starts_is_waited_for() -> None:
    assert crashed(pod(0, state={"waiting": {"reason": "ContainerCreating"}})) == ""
    assert crashed(pod(CRASHES - 1, state=BACK_OFF)) == ""
    assert crashed(pod(CRASHES, state={"running": {}})) == ""
    assert crashed({"items": [{"metadata": {"name": "p"}}]}) == ""


def test_a_container_that_keeps_crashing_is_reported_by_its_last_words() -> None:
    last = {"terminated": {"message": "bad configuration"}}
    assert crashed(pod(CRASHES, state=BACK_OFF, lastState=last)) == "p/c: bad configuration"
    assert crashed(pod(CRASHES, state=BACK_OFF)) == "p/c: back-off 10s"
