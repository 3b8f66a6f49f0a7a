"""The pod: a state container that prepares the order state, then the runner's process.

It keeps to the Pod Security standard "restricted".
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import (
    API_ACCESS_DIR,
    CONFIG_DIR,
    CONFIG_FILE,
    CONTAINER,
    CONTROL_DIR,
    CREDENTIALS_DIR,
    HTTP_PORT,
    INCIDENT_DIR,
    INIT_CONTAINER,
    METRICS_PORT,
    SECRETS_DIR,
    STATE_DIR,
)
from tradepulse_operator.resources.config import admin
from tradepulse_operator.resources.desired_run import DesiredRun, Prepare
from tradepulse_operator.resources.quantity import canonical

from .volumes import credentials, secrets, volumes

#: The image's own user; also the group that owns the state volume.
UID = 65532
TERMINATION_LOG = "/dev/termination-log"


def pod_spec(runner: TradingRunner, intent: DesiredRun) -> dict[str, Any]:
    """spec of the pod template."""
    pod = runner.spec.pod
    spec: dict[str, Any] = {
        "serviceAccountName": runner.metadata.name,
        # The runner's container alone gets one, see `volumes`; the state container needs none.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            # The state volume can be large; its owner needs setting once.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_state_container(runner, intent)],
        "containers": [_runner_container(runner, intent)],
        "volumes": volumes(runner, intent),
    }
    return {**spec, **_placement(runner)}


def _placement(runner: TradingRunner) -> dict[str, Any]:
    """Where its pods may run, and how they get at the image."""
    pod = runner.spec.pod
    placement: dict[str, Any] = {}
    if pod.node_selector:
        placement["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerations:
        placement["tolerations"] = [toleration.wire() for toleration in pod.tolerations]
    if pod.image_pull_secrets:
        placement["imagePullSecrets"] = [{"name": name} for name in pod.image_pull_secrets]
    return placement


def _runner_container(runner: TradingRunner, intent: DesiredRun) -> dict[str, Any]:
    return {
        **_container(runner, intent.release.image),
        "name": CONTAINER,
        "args": ["run", "--config", f"{CONFIG_DIR}/{CONFIG_FILE}"],
        "env": [
            *_identity(),
            _value("TRADEPULSE_CONFIG_HASH", intent.release.config_hash),
            *admin.environment(runner, intent.release),
            *_incident_id(intent),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            *admin.ports(intent.release),
        ],
        **_probes(),
        "volumeMounts": [
            *_writable(),
            _mount("config", CONFIG_DIR),
            _mount("control", CONTROL_DIR),
            _mount("api-access", API_ACCESS_DIR),
            *(
                _mount(volume, f"{CREDENTIALS_DIR}/{venue}")
                for volume, venue, _ in credentials(intent)
            ),
            *(_mount(volume, f"{SECRETS_DIR}/{folder}") for volume, folder, _ in secrets(intent)),
            *([_mount("incident", INCIDENT_DIR)] if _incident_id(intent) else []),
        ],
    }


def _incident_id(intent: DesiredRun) -> list[dict[str, Any]]:
    """The report grows when the rollback has ended: the running process copies that, too."""
    prepare = intent.prepare
    if prepare is None or not prepare.incident or not prepare.restore:
        return []
    return [
        _value("TRADEPULSE_INCIDENT_DIR", INCIDENT_DIR),
        _value("TRADEPULSE_INCIDENT_ID", prepare.restore),
    ]


def _state_container(runner: TradingRunner, intent: DesiredRun) -> dict[str, Any]:
    prepare = intent.prepare or Prepare(image=intent.release.image)
    incident = [_mount("incident", INCIDENT_DIR)] if prepare.incident else []
    return {
        **_container(runner, prepare.image),
        "name": INIT_CONTAINER,
        "args": prepare_args(runner, prepare),
        "env": [
            *_identity(),
            _value("TRADEPULSE_TERMINATION_LOG", TERMINATION_LOG),
            *_expected(prepare),
        ],
        "volumeMounts": [*_writable(), *incident],
    }


def _expected(prepare: Prepare) -> list[dict[str, Any]]:
    """What a restore has to meet. In the environment, as a release of before refuses arguments that
    it doesn't know."""
    facts = {
        "TRADEPULSE_RESTORE_SHA256": prepare.sha256,
        "TRADEPULSE_RESTORE_NONCE": prepare.nonce,
    }
    return [_value(name, value) for name, value in facts.items() if value]


def prepare_args(runner: TradingRunner, prepare: Prepare) -> list[str]:
    """Arguments of the state container; each action is keyed, so a second run does nothing."""
    args = ["state", "prepare", "--state-dir", STATE_DIR]
    args += ["--keep", str(runner.spec.state.backups.keep)]
    if prepare.backup:
        args += ["--backup", prepare.backup]
    if prepare.restore:
        args += ["--restore", prepare.restore, "--mode", prepare.mode.value.lower()]
    if prepare.incident:
        args += ["--incident-dir", INCIDENT_DIR]
    return args


def _container(runner: TradingRunner, image: str) -> dict[str, Any]:
    """What every container of a runner has: its resources, and no rights."""
    resources = runner.spec.pod.resources
    memory = canonical(resources.memory)
    return {
        "image": image,
        # A release is a tag or a digest, never `latest`: what the node has is what was meant.
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "resources": {
            "requests": {"cpu": canonical(resources.cpu), "memory": memory},
            "limits": {"memory": memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _probes() -> dict[str, Any]:
    """Three different questions.

    startup: has it loaded its state? Five minutes, as a large journal may need replaying.
    liveness: does the loop move? A frozen one is killed after 30 s; halted is alive.
    readiness: does it trade? Asked often, as a cutover waits for the answer.
    """
    return {
        "startupProbe": _probe("/startupz", period=1, failures=300, timeout=2),
        "livenessProbe": _probe("/healthz", period=10, failures=3, timeout=5),
        "readinessProbe": _probe("/readyz", period=2, failures=2, timeout=2),
    }


def _probe(path: str, *, period: int, failures: int, timeout: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def _identity() -> list[dict[str, Any]]:
    return [
        _field("POD_NAME", "metadata.name"),
        _field("POD_NAMESPACE", "metadata.namespace"),
        _field("POD_UID", "metadata.uid"),
    ]


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _value(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _writable() -> list[dict[str, Any]]:
    return [{"name": "state", "mountPath": STATE_DIR}, {"name": "tmp", "mountPath": "/tmp"}]


def _mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}
