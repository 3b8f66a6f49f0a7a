"""The kinds that the operator handles, and where the API server keeps them."""

from __future__ import annotations

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import API_VERSION
from tradepulse_operator.common.objects import Ref

RUNNER = (API_VERSION, TradingRunner.KIND)
CUTOVER = (API_VERSION, ReleaseCutover.KIND)
POD = ("v1", "Pod")
CONFIG_MAP = ("v1", "ConfigMap")
PVC = ("v1", "PersistentVolumeClaim")
SERVICE = ("v1", "Service")
SERVICE_ACCOUNT = ("v1", "ServiceAccount")
EVENT = ("v1", "Event")
STATEFUL_SET = ("apps/v1", "StatefulSet")
PDB = ("policy/v1", "PodDisruptionBudget")
NETWORK_POLICY = ("networking.k8s.io/v1", "NetworkPolicy")
SERVICE_MONITOR = ("monitoring.coreos.com/v1", "ServiceMonitor")
LEASE = ("coordination.k8s.io/v1", "Lease")
ROLE = ("rbac.authorization.k8s.io/v1", "Role")
ROLE_BINDING = ("rbac.authorization.k8s.io/v1", "RoleBinding")

#: (apiVersion, kind) → plural. All of them are namespaced.
PLURALS = {
    RUNNER: TradingRunner.PLURAL,
    CUTOVER: ReleaseCutover.PLURAL,
    POD: "pods",
    CONFIG_MAP: "configmaps",
    PVC: "persistentvolumeclaims",
    SERVICE: "services",
    SERVICE_ACCOUNT: "serviceaccounts",
    EVENT: "events",
    STATEFUL_SET: "statefulsets",
    PDB: "poddisruptionbudgets",
    NETWORK_POLICY: "networkpolicies",
    SERVICE_MONITOR: "servicemonitors",
    LEASE: "leases",
    ROLE: "roles",
    ROLE_BINDING: "rolebindings",
}

Kind = tuple[str, str]


def ref(kind: Kind, namespace: str, name: str) -> Ref:
    """Reference of an object of `kind`."""
    return Ref(kind[0], kind[1], namespace, name)


def group_path(api_version: str) -> str:
    """Path of a group's version: `/api/v1`, or `/apis/apps/v1`."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def collection(kind: Kind, namespace: str | None) -> str:
    """Path of a kind's objects, in one namespace or (None) in all of them.

    Raises KeyError for a kind that isn't listed above.
    """
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{group_path(kind[0])}{inside}/{PLURALS[kind]}"


def path(target: Ref) -> str:
    """Path of one object."""
    return f"{collection((target.api_version, target.kind), target.namespace)}/{target.name}"
