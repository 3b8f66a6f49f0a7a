"""How Prometheus finds the runner, and which labels its samples carry."""

from __future__ import annotations

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import LABEL_RELEASE, LABEL_RUNNER
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.labels import selector
from tradepulse_operator.resources.manifest import metadata, seal


def service_monitor(runner: TradingRunner) -> Manifest:
    """The guard asks for one release of one runner.

    The runner's name comes from the Service, the release from the pod: the Service serves both
    releases in turn, and a sample must be booked on the one that made it.
    """
    monitoring, name = runner.spec.monitoring, runner.metadata.name
    return seal(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            # Labels of the runner's own last: a user's label must not hide it from the operator.
            "metadata": {
                **metadata(runner, name),
                "labels": {**monitoring.labels, **metadata(runner, name)["labels"]},
            },
            "spec": {
                "selector": {"matchLabels": selector(name)},
                "targetLabels": [LABEL_RUNNER],
                "podTargetLabels": [LABEL_RELEASE],
                "endpoints": [{"port": "metrics", "interval": monitoring.scrape_interval}],
            },
        }
    )
