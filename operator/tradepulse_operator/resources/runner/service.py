"""The headless Service: the pod's DNS name, and what the ServiceMonitor selects."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import ADMIN_PORT, HTTP_PORT, METRICS_PORT
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.labels import selector
from tradepulse_operator.resources.manifest import metadata, seal


def service(runner: TradingRunner) -> Manifest:
    """Its endpoints are published before the pod is ready.

    A runner that is halted or reconciling isn't ready, and that is when its metrics matter most.
    """
    return seal(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(runner, runner.metadata.name),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": selector(runner.metadata.name),
                "ports": [
                    _port("http", HTTP_PORT),
                    _port("metrics", METRICS_PORT),
                    *([_port("admin", ADMIN_PORT)] if runner.spec.admin else []),
                ],
            },
        }
    )


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": name}
