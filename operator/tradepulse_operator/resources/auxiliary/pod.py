"""Auxiliary pods, while the runner's own goes on trading: they check, rehearse or drill a release.

Each is made from the very pod that the release would get: its image, place, limits and security,
without whatever is the runner's alone (state, lease, orders of the operator, identity). Whatever a
release does there, it reaches nobody: one NetworkPolicy a runner shuts all of them in.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import (
    API_VERSION,
    CONTAINER,
    LABEL_APP,
    LABEL_AUXILIARY,
    LABEL_MANAGED_BY,
    MANAGER,
    auxiliary_policy_name,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.desired_run import DesiredRun
from tradepulse_operator.resources.manifest import metadata, seal
from tradepulse_operator.resources.runner.network_policy import from_operator
from tradepulse_operator.resources.runner.pod_spec import pod_spec

#: Seconds for SIGTERM: such a pod has nothing that would have to be completed.
_GRACE = 5
#: Of the runner's pod, for such a pod as well.
_KEPT = ("enableServiceLinks", "securityContext", "nodeSelector", "tolerations", "imagePullSecrets")
_KEPT_OF_CONTAINER = (
    "image",
    "imagePullPolicy",
    "resources",
    "securityContext",
    "terminationMessagePath",
)


def runner_container(runner: TradingRunner, release: Release) -> tuple[Manifest, Manifest]:
    """(spec of the pod that `release` would get, its one container)."""
    spec = pod_spec(runner, DesiredRun(release))
    return spec, spec["containers"][0]


def volume(spec: Manifest, name: str) -> Manifest:
    """The volume of that name."""
    return next(each for each in spec["volumes"] if each["name"] == name)


def pod(
    meta: Manifest,
    spec: Manifest,
    *,
    seconds: int,
    container: Manifest,
    volumes: list[Manifest],
) -> Manifest:
    """The manifest. `spec`: the pod that the release would get; `seconds`: it lives no longer;
    `container`: what its one container has besides image, limits and security."""
    own = spec["containers"][0]
    kept = {key: own[key] for key in _KEPT_OF_CONTAINER}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {
            **{key: spec[key] for key in _KEPT if key in spec},
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": _GRACE,
            "containers": [
                {
                    **kept,
                    "name": CONTAINER,
                    # A release that doesn't know what it is asked says so in its log alone.
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    **container,
                }
            ],
            "volumes": volumes,
        },
    }


def of_cutover(cutover: ReleaseCutover, name: str, app: str) -> Manifest:
    """Metadata of a pod that belongs to a cutover, and goes with it."""
    return {
        "name": name,
        "namespace": cutover.metadata.namespace,
        "labels": {
            LABEL_APP: app,
            LABEL_AUXILIARY: cutover.spec.runner,
            LABEL_MANAGED_BY: MANAGER,
        },
        "ownerReferences": [_owner(cutover)],
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


def auxiliary_policy(runner: TradingRunner) -> Manifest:
    """Such a pod talks to nobody, and the operator alone asks it how it does.

    Every runner has it, whatever its policies ask for: it has to stand before the first such pod.
    """
    name = runner.metadata.name
    return seal(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(runner, auxiliary_policy_name(name)),
            "spec": {
                "podSelector": {"matchLabels": {LABEL_AUXILIARY: name}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [from_operator()],
            },
        }
    )
