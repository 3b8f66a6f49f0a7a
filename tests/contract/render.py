"""Everything that an operator hands to a runner's image: configuration, arguments, environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.rehearsal import RehearsalPolicy
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillTarget, RunningDrill
from tradepulse_operator.common.names import LABEL_RELEASE
from tradepulse_operator.resources.auxiliary.check import check_pod
from tradepulse_operator.resources.auxiliary.drill import drill_pod
from tradepulse_operator.resources.auxiliary.rehearsal import rehearsal_pod
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.desired_run import DesiredRun, Prepare
from tradepulse_operator.resources.runner.config_map import config_map
from tradepulse_operator.resources.runner.stateful_set import stateful_set

UID = "8c1d6d0e-0000-4000-8000-000000000001"
#: Of a container.
_KEYS = (
    "image",
    "command",
    "args",
    "env",
    "ports",
    "volumeMounts",
    "terminationMessagePath",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
)
_AT = "2026-11-30T06:00:00.000000Z"


def rendered(raw: dict[str, Any], user_config: str | None) -> dict[str, Any]:
    """What an operator makes of the TradingRunner ``raw``: JSON values."""
    owner = TradingRunner.model_validate(raw)
    found = render_release(owner, owner.spec.release, user_config)
    plain = DesiredRun(release=found.release, replace=True)
    orders = {
        "plain": plain,
        "halted for a cutover": replace(plain, halt=f"halt {UID} cutover"),
        "kill switch": replace(plain, kill_switch="spec: stop it"),
        "backed up": replace(plain, prepare=Prepare(image="r:0", backup=UID)),
        **{
            f"rolled back, {mode.value}": replace(
                plain,
                prepare=Prepare(image="r:0", restore=UID, mode=mode, incident="move-incident"),
            )
            for mode in StateOnRollback
        },
    }
    templates = {
        name: stateful_set(owner, intent, {})["spec"]["template"] for name, intent in orders.items()
    }
    cutover = ReleaseCutover.model_validate(
        {
            "metadata": {"name": "move", "namespace": owner.metadata.namespace, "uid": UID},
            "spec": {"runner": owner.metadata.name},
        }
    )
    drill = RunningDrill(
        scheduled_for=_AT, started_at=_AT, target=DrillTarget.REHEARSAL, release=found.release.id
    )
    policy = RehearsalPolicy(required=True)
    pods = {
        "check": check_pod(cutover, owner, found.release),
        "rehearsal": rehearsal_pod(cutover, owner, found.release, found.text, policy),
        "drill": drill_pod(owner, drill, found.release),
    }
    return {
        "release": found.release.wire(),
        "configMap": config_map(owner, found.text)["metadata"]["name"],
        "config": found.text,
        "templates": {name: _contract(template) for name, template in templates.items()},
        "pods": {name: _contract(pod) for name, pod in pods.items()},
    }


def _contract(pod: dict[str, Any]) -> dict[str, Any]:
    """What the image gets of a pod; where it runs and with what rights isn't part of it."""
    spec, meta = pod["spec"], pod["metadata"]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    return {
        "annotations": meta.get("annotations", {}),
        "labels": {LABEL_RELEASE: meta["labels"].get(LABEL_RELEASE)},
        "containers": {
            container["name"]: {key: container[key] for key in _KEYS if key in container}
            for container in containers
        },
        "volumes": spec["volumes"],
    }
