"""Names that operator, runner, dashboards and people share: labels, annotations, ports, paths."""

from __future__ import annotations

GROUP = "tradepulse.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


MANAGER = "tradepulse-operator"

LABEL_RUNNER = f"{GROUP}/runner"
LABEL_RELEASE = f"{GROUP}/release"
LABEL_CONFIG_HASH = f"{GROUP}/config-hash"
#: On a promoted ConfigMap of settings: their version, and the hash of their text alone.
LABEL_CONFIG_VERSION = f"{GROUP}/config-version"
LABEL_SETTINGS_HASH = f"{GROUP}/settings-hash"
LABEL_CUTOVER = f"{GROUP}/cutover"
#: Runner of an auxiliary pod, which checks, rehearses or drills; not `LABEL_RUNNER`,
#: by which that one is found.
LABEL_AUXILIARY = f"{GROUP}/beside"
LABEL_DRILL = f"{GROUP}/drill"
LABEL_APP = "app.kubernetes.io/name"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
APP_RUNNER = "tradepulse-runner"
#: Others, so that nothing takes them for the runner: no Service, budget or policy.
APP_CHECK = "tradepulse-check"
APP_REHEARSAL = "tradepulse-rehearsal"
APP_DRILL = "tradepulse-drill"

#: On the pod, projected into the container by the downward API: the operator's orders to it.
ANNOTATION_TRADING = f"{GROUP}/trading"
ANNOTATION_KILL_SWITCH = f"{GROUP}/kill-switch"
#: On a rehearsal's pod: its `runner.yaml`, projected into the container by the downward API.
ANNOTATION_REHEARSAL = f"{GROUP}/rehearsal"
#: On children: hash of the manifest as it was applied.
ANNOTATION_APPLIED = f"{GROUP}/applied"
#: On the StatefulSet: JSON of hash → runner.yaml, from which a deleted ConfigMap is made again.
ANNOTATION_CONFIGS = f"{GROUP}/configs"

#: The labels above as Prometheus writes them.
SERIES_RUNNER = "tradepulse_io_runner"
SERIES_RELEASE = "tradepulse_io_release"

CONTAINER = "runner"
INIT_CONTAINER = "state"
#: Alert rule on the kill switch, which a live drill looks for.
KILL_SWITCH_ALERT = "TradePulseKillSwitchEngaged"
HTTP_PORT = 8080
METRICS_PORT = 9000
ADMIN_PORT = 8443
STATE_DIR = "/var/lib/tradepulse"
CONFIG_DIR = "/etc/tradepulse/config"
CONFIG_FILE = "runner.yaml"
CONTROL_DIR = "/etc/tradepulse/control"
CREDENTIALS_DIR = "/etc/tradepulse/credentials"
#: Secrets of optional services, a folder each.
SECRETS_DIR = "/etc/tradepulse/secrets"
#: Where every client of the Kubernetes API in a pod looks for its token.
API_ACCESS_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
INCIDENT_DIR = "/etc/tradepulse/incident"
INCIDENTS_DIR = f"{STATE_DIR}/incidents"


def pod_name(runner: str) -> str:
    """The one pod of a runner: ordinal 0 of its StatefulSet."""
    return f"{runner}-0"


def pvc_name(runner: str) -> str:
    """The claim that holds a runner's order state."""
    return f"{runner}-state"


def check_pod_name(uid: str) -> str:
    """The pod in which the target of the cutover with that uid is checked."""
    return f"check-{uid}"


def rehearsal_pod_name(uid: str) -> str:
    """The pod in which the target of the cutover with that uid is rehearsed."""
    return f"rehearsal-{uid}"


def incident_name(cutover: str) -> str:
    """The ConfigMap that holds a cutover's incident report."""
    return f"{cutover}-incident"


def drill_name(runner: str, scheduled_for: str) -> str:
    """The pod and the report of the drill that came due then: one instant, one drill."""
    return f"{runner}-drill-{drill_key(scheduled_for)}"


def drill_key(scheduled_for: str) -> str:
    """The minute of an instant (RFC 3339, UTC) as names and labels take it, e.g. 202601020304."""
    return "".join(filter(str.isdigit, scheduled_for))[:12]


def auxiliary_policy_name(runner: str) -> str:
    """The NetworkPolicy of a runner's auxiliary pods."""
    return f"{runner}-beside"
