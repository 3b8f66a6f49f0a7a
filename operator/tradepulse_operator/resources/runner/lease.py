"""The writer Lease of a runner, and the right of its pod to take it.

The operator makes the Lease, so the pod needs no right to create any, and owns only its metadata:
the spec belongs to its holder.
"""

from __future__ import annotations

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.manifest import metadata, seal

_RBAC = "rbac.authorization.k8s.io"


def lease(runner: TradingRunner) -> Manifest:
    """The Lease, without a holder: applied again, it leaves the one it has."""
    return seal(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata(runner, runner.metadata.name),
        }
    )


def role(runner: TradingRunner) -> Manifest:
    """To read and replace this one Lease."""
    name = runner.metadata.name
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [name],
        "verbs": ["get", "update"],
    }
    return seal(
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": metadata(runner, name),
            "rules": [rule],
        }
    )


def role_binding(runner: TradingRunner) -> Manifest:
    """For the runner's own ServiceAccount alone."""
    name = runner.metadata.name
    account = {"kind": "ServiceAccount", "name": name, "namespace": runner.metadata.namespace}
    return seal(
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(runner, name),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
            "subjects": [account],
        }
    )
