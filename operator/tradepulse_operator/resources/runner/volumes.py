"""The pod's volumes."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import ANNOTATION_KILL_SWITCH, ANNOTATION_TRADING, pvc_name
from tradepulse_operator.resources.desired_run import DesiredRun

#: For the owner (root) and the pod's group alone: -r--r-----.
_SECRET_MODE = 0o440
#: Lifetime of the pod's token; the kubelet replaces it when four fifths have passed.
_TOKEN_SECONDS = 3600


def volumes(runner: TradingRunner, intent: DesiredRun) -> list[dict[str, Any]]:
    """State, scratch space, configuration, orders of the operator, and secrets."""
    result: list[dict[str, Any]] = [
        {"name": "state", "persistentVolumeClaim": {"claimName": pvc_name(runner.metadata.name)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": "config", "configMap": {"name": intent.release.config_map}},
        {"name": "control", "downwardAPI": {"items": _control()}},
        {"name": "api-access", "projected": {"defaultMode": _SECRET_MODE, "sources": _access()}},
    ]
    result += [
        {"name": name, "secret": {"secretName": secret, "defaultMode": _SECRET_MODE}}
        for name, _, secret in credentials(intent)
    ]
    # Optional: a service that may be down may also lack its Secret, and the runner trades on.
    result += [
        {
            "name": name,
            "secret": {"secretName": secret, "defaultMode": _SECRET_MODE, "optional": True},
        }
        for name, _, secret in secrets(intent)
    ]
    if intent.prepare and intent.prepare.incident:
        # Optional: nothing auxiliary may keep the previous release from starting.
        incident = {"name": intent.prepare.incident, "optional": True}
        result.append({"name": "incident", "configMap": incident})
    return result


def credentials(intent: DesiredRun) -> list[tuple[str, str, str]]:
    """(volume, venue, Secret) of each venue of the release, in a fixed order.

    Of the release, not of the spec: a rollback must find the venues that it knew. Volumes are
    numbered, as a venue's name with a prefix may be longer than a volume's name.
    """
    known = sorted(intent.release.credentials.items())
    return [(f"venue-{index}", venue, secret) for index, (venue, secret) in enumerate(known)]


def secrets(intent: DesiredRun) -> list[tuple[str, str, str]]:
    """(volume, folder, Secret) of each optional service of the release, in a fixed order."""
    known = sorted(intent.release.secrets.items())
    return [(f"secret-{index}", folder, secret) for index, (folder, secret) in enumerate(known)]


def _access() -> list[dict[str, Any]]:
    """What the process needs to speak to the API server: who it is, and whom to trust."""
    token = {"path": "token", "expirationSeconds": _TOKEN_SECONDS}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return [{"serviceAccountToken": token}, {"configMap": authority}]


def _control() -> list[dict[str, Any]]:
    return [
        _item("trading", ANNOTATION_TRADING),
        _item("kill-switch", ANNOTATION_KILL_SWITCH),
    ]


def _item(path: str, annotation: str) -> dict[str, Any]:
    field = {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{annotation}']"}
    return {"path": path, "fieldRef": field}
