"""A drill of the kill switch: its pod and the report.

The pod runs the active release's own drill, see `runner/tradepulse_runner/drill/`: the configured
symbols and limits on paper venues, in a directory that ends with the pod. Like every auxiliary
pod (`pod.py`) it gets no credentials, no token and no network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tradepulse_operator.api import untrusted
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillTarget, RunningDrill
from tradepulse_operator.common.names import (
    APP_DRILL,
    CONFIG_DIR,
    CONFIG_FILE,
    LABEL_APP,
    LABEL_AUXILIARY,
    LABEL_DRILL,
    LABEL_RELEASE,
    drill_key,
    drill_name,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.manifest import metadata
from tradepulse_operator.resources.runner.pod_spec import TERMINATION_LOG

from .pod import pod, runner_container, volume

#: Seconds after which the kubelet ends the pod; a drill takes about ten.
LONGEST = 300
#: The termination message that a report is made of has 4 KiB; the text for people is made from it.
LONGEST_REPORT = 16 * 1024
_LONGEST_MESSAGE = 4096
_MOST_CHECKS = 64
_WHAT = {
    DrillTarget.REHEARSAL: "a rehearsal on paper venues, which says nothing about how fast a real"
    " venue cancels",
    DrillTarget.LIVE: "the running process, which trades again once a person resets it",
}


def drill_pod(runner: TradingRunner, drill: RunningDrill, release: Release) -> Manifest:
    """The pod that rehearses `release`; the same name for the same drill, so there is one."""
    spec, _ = runner_container(runner, release)
    config = f"{CONFIG_DIR}/{CONFIG_FILE}"
    name = runner.metadata.name
    labels = {
        LABEL_APP: APP_DRILL,
        LABEL_AUXILIARY: name,
        LABEL_DRILL: drill_key(drill.scheduled_for),
        LABEL_RELEASE: release.id,
    }
    return pod(
        metadata(runner, drill_name(name, drill.scheduled_for), labels=labels),
        spec,
        seconds=LONGEST,
        container={
            "args": ["kill-switch", "drill", "--config", config, "--report", "/tmp/report"],
            "env": [
                {"name": "TRADEPULSE_CONFIG_HASH", "value": release.config_hash},
                {"name": "TRADEPULSE_TERMINATION_LOG", "value": TERMINATION_LOG},
            ],
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            ],
        },
        volumes=[volume(spec, "tmp"), volume(spec, "config")],
    )


def drill_report(runner: TradingRunner, drill: RunningDrill, result: dict[str, Any]) -> Manifest:
    """The ConfigMap that keeps what a drill found. `found`: JSON values, see `read`."""
    name = drill_name(runner.metadata.name, drill.scheduled_for)
    content = {**result, "scheduledFor": drill.scheduled_for, "startedAt": drill.started_at}
    content["target"] = drill.target.value
    content = {"runner": runner.metadata.name, "releaseId": drill.release, **content}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(runner, name, labels={LABEL_DRILL: drill_key(drill.scheduled_for)}),
        "immutable": True,
        "data": {
            "report.json": json.dumps(content, indent=1, sort_keys=True)[:LONGEST_REPORT],
            "report.md": _markdown(content)[:LONGEST_REPORT],
        },
    }


def _markdown(content: dict[str, Any]) -> str:
    passed = "passed" if content["passed"] else "FAILED"
    lines = [
        f"# Kill-switch drill of {content['runner']}: {passed}",
        "",
        f"Due {content['scheduledFor']}, started {content['startedAt']}, release"
        f" {content['releaseId']}: {_WHAT[DrillTarget(content['target'])]}.",
        "",
        content.get("message", ""),
        "",
        *(f"- {'pass' if check[1] else '**FAIL**'}: {check[0]}" for check in content["checks"]),
        *(f"- not checked: {what}" for what in content.get("notChecked", ())),
        *(f"- {name}: {value}" for name, value in content["measures"].items()),
    ]
    return "\n".join(lines) + "\n"


def read(exit_code: int | None, message: str) -> dict[str, Any]:
    """What a drill's pod said: `passed`, `checks` as (name, passed), `measures`, `message`.

    `message` is the pod's termination message. A drill has passed when it says so, names checks
    that all passed, and exits with 0: an image that takes no notice of its arguments does neither.
    """
    said = _parsed(message)
    if said is None:
        words = f"exit code {exit_code}, and no result: {message.strip()[:512] or 'nothing'}"
        return {"passed": False, "checks": [], "measures": {}, "message": words}
    checks = [(name, good) for name, good in said["checks"]]
    failed = [name for name, good in checks if not good]
    agreed = (exit_code == 0) == said["passed"] == (not failed)
    if failed:
        words = f"failed: {', '.join(failed)}"
    elif not agreed:
        words = f"exit code {exit_code} contradicts its result: {message.strip()[:512]}"
    else:
        words = f"{len(checks)} checks passed"
    passed = agreed and not failed
    measures = _measures(said["measures"])
    return {"passed": passed, "checks": checks, "measures": measures, "message": words}


def _parsed(message: str) -> Mapping[str, Any] | None:
    """The result of a drill, which has had these members from the first release on; None for
    anything else."""
    try:
        said = untrusted.mapping(untrusted.parse(message, _LONGEST_MESSAGE))
    except untrusted.Unreadable:
        return None
    checks, measures = said.get("checks"), said.get("measures")
    known = isinstance(checks, list) and 0 < len(checks) <= _MOST_CHECKS
    known = known and all(_is_check(item) for item in checks or ())
    known = known and type(said.get("passed")) is bool and isinstance(measures, dict)
    return said if known else None


def _is_check(item: object) -> bool:
    return isinstance(item, list) and [type(part) for part in item] == [str, bool]


def _measures(said: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are numbers or texts; a report has no use for others."""
    return {key: value for key, value in said.items() if _is_reportable(value)}


def _is_reportable(value: Any) -> bool:
    return isinstance(value, str | bool) or (
        isinstance(value, int | float) and abs(value) <= untrusted.LARGEST
    )
