"""An Alertmanager beside the cluster, which the cluster's Prometheus alerts and the operator asks.

A Service without a selector leads there: Prometheus is told of it once for all, in its manifest.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e.client import Cluster, Manifest
from tests.support.services.alertmanager.server import Alertmanager

NAMESPACE, NAME = "monitoring", "alertmanager"


def _leading_to(port: int) -> list[Manifest]:
    meta = {"name": NAME, "namespace": NAMESPACE}
    ports = [{"name": "web", "port": port, "protocol": "TCP"}]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [NODE_GATEWAY], "conditions": {"ready": True}}],
        },
    ]


@contextlib.contextmanager
def beside(cluster: Cluster) -> Iterator[Alertmanager]:
    """Run one until the block ends; its pager is a fake of PagerDuty's endpoint."""
    server = Alertmanager()
    with Progress().step("Alertmanager") as step:
        server.install(step)
    with tempfile.TemporaryDirectory(prefix="alertmanager-") as folder:
        try:
            server.start(Path(folder), NODE_GATEWAY)
            for manifest in _leading_to(int(server.url.rsplit(":", 1)[1])):
                cluster.apply(manifest)
            yield server
        finally:
            cluster.delete("EndpointSlice", NAME, NAMESPACE, "discovery.k8s.io/v1")
            cluster.delete("Service", NAME, NAMESPACE)
            server.stop()
