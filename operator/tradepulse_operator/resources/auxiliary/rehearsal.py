"""The pod in which the target release trades on paper: no credentials, no lease, no state."""

from __future__ import annotations

import math
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.rehearsal import RehearsalPolicy
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.venue import Connector
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import (
    ANNOTATION_REHEARSAL,
    APP_REHEARSAL,
    CONFIG_DIR,
    CONFIG_FILE,
    STATE_DIR,
    rehearsal_pod_name,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.config import yaml_text

from .pod import of_cutover, pod, runner_container, volume

#: Keys of `runner.yaml` that stay: what trades, and how. Every other one leads outside.
_KEPT = ("runner", "owner", "state_dir", "strategy", "risk", "loop", "guard", "http", "metrics")
#: Seconds that the pod may live beyond its start and the rehearsal, to be read and removed.
_SPARE = 120


def rehearsal_config(text: str) -> str:
    """`runner.yaml` as it is rehearsed: each venue is a paper venue of its name and symbols.

    `text`: the rendered configuration of the release.
    """
    config = yaml_text.read(text)
    kept = {key: config[key] for key in _KEPT if key in config}
    # A fresh directory: there is nothing to start warm from, and nothing to set aside.
    return yaml_text.write({**kept, "venues": [_on_paper(venue) for venue in config["venues"]]})


def _on_paper(venue: dict[str, Any]) -> dict[str, Any]:
    """An option of another connector means nothing to this one."""
    paper = Connector.PAPER.value
    options = venue.get("options") or {} if venue["connector"] == paper else {}
    return {
        "name": venue["name"],
        "connector": paper,
        "sandbox": True,
        "symbols": venue["symbols"],
        "options": options,
    }


def rehearsal_pod(
    cutover: ReleaseCutover,
    runner: TradingRunner,
    target: Release,
    text: str,
    policy: RehearsalPolicy,
) -> Manifest:
    """The rehearsal pod of `target`, whose rendered configuration is `text`.

    The configuration lies in an annotation: one object, which comes and goes as a whole.
    """
    spec, container = runner_container(runner, target)
    limit = seconds(cutover.spec.switch_deadline) + seconds(policy.duration)
    field = {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{ANNOTATION_REHEARSAL}']"}
    item = {"path": CONFIG_FILE, "fieldRef": field}
    meta = of_cutover(cutover, rehearsal_pod_name(cutover.metadata.uid), APP_REHEARSAL)
    return pod(
        {**meta, "annotations": {ANNOTATION_REHEARSAL: rehearsal_config(text)}},
        spec,
        seconds=math.ceil(limit) + _SPARE,
        container={
            "args": ["run", "--config", f"{CONFIG_DIR}/{CONFIG_FILE}"],
            "env": [{"name": "TRADEPULSE_CONFIG_HASH", "value": target.config_hash}],
            "ports": container["ports"],
            **{key: container[key] for key in ("startupProbe", "readinessProbe")},
            # Sooner than in production: a frozen release fails its rehearsal, and that is all.
            "livenessProbe": {**container["livenessProbe"], "periodSeconds": 2},
            "volumeMounts": [
                {"name": "state", "mountPath": STATE_DIR},
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            ],
        },
        volumes=[
            {"name": "state", "emptyDir": {"sizeLimit": runner.spec.state.size}},
            volume(spec, "tmp"),
            {"name": "config", "downwardAPI": {"items": [item]}},
        ],
    )
