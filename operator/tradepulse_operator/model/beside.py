"""A pod of the target release beside the runner's own, which goes on trading.

It belongs to the cutover, is named after the cutover's uid, and is made from the very pod that the
release would get: its image, place, limits and security, without whatever is the runner's alone
(state, lease, orders of the operator, identity).
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.base import API_VERSION
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.names import LABEL_APP, LABEL_BESIDE, LABEL_MANAGED_BY, MANAGER
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner

from .intent import Intent
from .manifest import Manifest
from .podspec import pod_spec

TERMINATION_LOG = "/dev/termination-log"
#: Seconds for SIGTERM: such a pod holds nothing that would have to be brought to an end.
_GRACE = 5
#: Of the runner's pod, for such a pod as well.
_KEPT = ("enableServiceLinks", "securityContext", "nodeSelector", "tolerations", "imagePullSecrets")
_KEPT_OF_CONTAINER = ("image", "imagePullPolicy", "resources", "securityContext")


def runner_container(runner: TradingRunner, release: Release) -> tuple[Manifest, Manifest]:
    """(spec of the pod that `release` would get, its one container)."""
    spec = pod_spec(runner, Intent(release))
    return spec, spec["containers"][0]


def pod(
    cutover: ReleaseCutover,
    name: str,
    app: str,
    spec: Manifest,
    *,
    annotations: dict[str, str] | None = None,
    seconds: int,
    container: Manifest,
    volumes: list[Manifest],
) -> Manifest:
    """The manifest. `spec`: the pod that the release would get; `seconds`: it lives no longer."""
    own = spec["containers"][0]
    kept = {key: own[key] for key in _KEPT_OF_CONTAINER}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": cutover.metadata.namespace,
            "labels": {
                LABEL_APP: app,
                LABEL_BESIDE: cutover.spec.runner,
                LABEL_MANAGED_BY: MANAGER,
            },
            "ownerReferences": [_owner(cutover)],
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            **{key: spec[key] for key in _KEPT if key in spec},
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": _GRACE,
            "containers": [
                {
                    **kept,
                    "terminationMessagePath": TERMINATION_LOG,
                    # A release that doesn't know what it is asked says so in its log alone.
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    **container,
                }
            ],
            "volumes": volumes,
        },
    }


def _owner(cutover: ReleaseCutover) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": ReleaseCutover.KIND,
        "name": cutover.metadata.name,
        "uid": cutover.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
