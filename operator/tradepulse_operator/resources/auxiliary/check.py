"""The pod in which the target release says whether it could run with its configuration and secrets.

So the operator needs neither a registry's credentials to resolve the image (the kubelet does that,
and reports the digest) nor a right to read Secrets (they are mounted there, and checked there).
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import APP_CHECK, CONFIG_DIR, CONFIG_FILE, check_pod_name
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.config import admin
from tradepulse_operator.resources.runner.pod_spec import TERMINATION_LOG

from .pod import of_cutover, pod, runner_container, volume

#: With the pull of the image; a pod that isn't done by then is made anew.
_SECONDS = 600


def check_pod(cutover: ReleaseCutover, runner: TradingRunner, target: Release) -> Manifest:
    """The check pod of `target`."""
    spec, container = runner_container(runner, target)
    secrets = [each for each in map(_secret, spec["volumes"]) if each]
    names = {each["name"] for each in secrets}
    mounts = [m for m in container["volumeMounts"] if m["name"] in {*names, "config"}]
    folders = ":".join(m["mountPath"] for m in mounts if m["name"] in names)
    return pod(
        of_cutover(cutover, check_pod_name(cutover.metadata.uid), APP_CHECK),
        spec,
        seconds=_SECONDS,
        container={
            "args": ["config", "check", "--config", f"{CONFIG_DIR}/{CONFIG_FILE}"],
            "env": [
                *map(_optional, filter(_of_secret, container.get("env", []))),
                {"name": "TRADEPULSE_TERMINATION_LOG", "value": TERMINATION_LOG},
                {"name": "TRADEPULSE_SECRETS", "value": folders},
                *admin.environment(runner, target),
            ],
            "volumeMounts": mounts,
        },
        volumes=[volume(spec, "config"), *secrets],
    )


def _secret(volume: dict[str, Any]) -> dict[str, Any] | None:
    """A volume of a Secret, which may be missing: the pod is to start and tell; None for others."""
    if "secret" not in volume:
        return None
    return {**volume, "secret": {**volume["secret"], "optional": True}}


def _of_secret(variable: dict[str, Any]) -> bool:
    return "secretKeyRef" in variable.get("valueFrom", {})


def _optional(variable: dict[str, Any]) -> dict[str, Any]:
    reference = {**variable["valueFrom"]["secretKeyRef"], "optional": True}
    return {**variable, "valueFrom": {"secretKeyRef": reference}}
