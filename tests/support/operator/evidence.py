"""An incident to report on."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.controllers.observed.views import ProcessView
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.incident.evidence import Evidence

SOURCE = {"id": "aaaa", "image": "r/runner:1.0.0", "configMap": "btc-1", "configHash": "1"}
TARGET = {"id": "bbbb", "image": "r/runner:1.2.0", "configMap": "btc-2", "configHash": "2"}


def cutover(phase: str = "RollingBack") -> ReleaseCutover:
    times = ("00:00", "00:05", "00:15", "01:30", "02:00")
    names = ["Pending", "Halting", "BackingUp", "Baking", phase]
    return ReleaseCutover.model_validate(
        {
            "metadata": {"name": "btc-bbbb-g2", "namespace": "trading", "uid": "uid-1"},
            "spec": {"runner": "btc"},
            "status": {
                "phase": phase,
                "source": SOURCE,
                "target": TARGET,
                "startedAt": "2026-01-02T03:00:00Z",
                "phases": [
                    {"phase": name, "at": f"2026-01-02T03:{at}Z", "message": f"because {name}"}
                    for name, at in zip(names, times, strict=True)
                ],
                "backup": {"id": "uid-1", "sha256": "abc", "files": 3, "bytes": 4096},
                "verdict": {
                    "verdict": "breach",
                    "guardrail": "errorRate",
                    "value": 0.25,
                    "limit": 0.02,
                    "at": "2026-01-02T03:01:59Z",
                    "message": "0.25 of requests, allowed are at most 0.02",
                },
                "rollback": {
                    "step": "CollectingEvidence",
                    "stepAt": "2026-01-02T03:02:01Z",
                    "startedAt": "2026-01-02T03:02:00Z",
                    "reason": "ErrorRateAboveLimit",
                    "message": "0.25 | <b>",
                },
            },
        }
    )


def recording(samples: int = 20) -> Recording:
    points = tuple((float(n), 0.1 + n) for n in range(samples))
    return Recording(
        0.0,
        float(samples),
        runner=(Series({"__name__": "live_loop_heartbeat"}, points),),
        control=(Series({"__name__": "up"}, ((1.0, 1.0),)),),
        custom={"own": (Series({"a": "b"}, ((2.0, float("nan")), (3.0, float("inf")))),)},
    )


def evidence(phase: str = "RollingBack", **change: Any) -> Evidence:
    found: dict[str, Any] = {
        "cutover": cutover(phase),
        "at": 1767322935.0,
        "final": False,
        "recording": recording(),
        "queries": {"metrics": "{…}[60s]"},
        "process": ProcessView("HALTED", halt_complete=True, unknown_orders=2),
        "pod": {
            "metadata": {"name": "btc-0", "uid": "p1"},
            "spec": {
                "containers": [{"name": "runner", "image": "i", "env": [{"value": "SECRET"}]}]
            },
            "status": {"phase": "Running"},
        },
        "events": (
            {
                "involvedObject": {"kind": "Pod", "name": "btc-0"},
                "type": "Warning",
                "reason": "Unhealthy",
                "message": "probe failed",
                "lastTimestamp": "2026-01-02T03:01:00Z",
            },
        ),
        "logs": {"runner": "order refused\npassword=hunter2\n", "state": "backup done\n"},
        "configs": {"source": "a: 1\nb: 2\n", "target": "a: 1\nb: 3\n"},
        "missing": {"logs-previous.txt": "no such container"},
        **change,
    }
    return Evidence(**found)
