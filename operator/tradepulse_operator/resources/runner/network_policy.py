"""Who may talk to the runner, and whom it may talk to.

In:  `http` (probes, status) only from pods labelled as the operator, in any namespace; the kubelet
     probes from the node, which policies let through. `metrics` from any pod of the cluster:
     collectors go by many names, and one that is shut out makes a runner seem silent, which would
     roll a good release back. Metrics contain no secret. `admin` from whom `admin.allowFrom` names;
     nothing else from outside the cluster.
Out: DNS to any address, as node-local resolvers have no pod that a selector could name. HTTPS to
     anywhere but the node's metadata service: to the API server, where the writer lease is kept,
     and to venues. Neither can be selected: the API server is no pod, its addresses change with its
     replicas (and a runner that can't renew stops trading), and venues are named by host. 6443 is
     where the API server listens behind its service. An object store, a SIEM, a database and the
     brokers of an event bus may listen at ports of their own.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import HTTP_PORT, LABEL_APP, MANAGER, METRICS_PORT
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.config import admin
from tradepulse_operator.resources.labels import selector
from tradepulse_operator.resources.manifest import metadata, seal

#: Hands out credentials of the node on most clouds; no venue is there.
_METADATA_SERVICE = "169.254.169.254/32"


def network_policy(runner: TradingRunner) -> Manifest:
    """The runner's NetworkPolicy, in and out."""
    return seal(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(runner, runner.metadata.name),
            "spec": {
                "podSelector": {"matchLabels": selector(runner.metadata.name)},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [from_operator(), _from_cluster(), *admin.ingress(runner.spec)],
                "egress": _egress(runner),
            },
        }
    )


def from_operator() -> dict[str, Any]:
    """The rule that lets the operator ask a runner's process how it does."""
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": {LABEL_APP: MANAGER}}}
    return {"from": [operator], "ports": [_port(HTTP_PORT)]}


def _from_cluster() -> dict[str, Any]:
    return {"from": [{"namespaceSelector": {}}], "ports": [_port(METRICS_PORT)]}


def _egress(runner: TradingRunner) -> list[dict[str, Any]]:
    dns = {"ports": [_port(53, "UDP"), _port(53)]}
    anywhere = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [_METADATA_SERVICE]}},
        {"ipBlock": {"cidr": "::/0"}},
    ]
    ports = [_port(number) for number in (443, 6443, *_of_services(runner))]
    return [dns, {"to": anywhere, "ports": ports}]


def _of_services(runner: TradingRunner) -> list[int]:
    """Ports of optional services that aren't let out anyway."""
    spec = runner.spec
    store, bus, database = spec.state.backups.object_store, spec.event_bus, spec.database
    wanted = {store.port} if store else set()
    wanted |= set(bus.ports) if bus else set()
    wanted |= set(database.ports) if database else set()
    wanted |= admin.egress(spec)
    return sorted(wanted - {443, 6443})


def _port(number: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"port": number, "protocol": protocol}
