"""No voluntary eviction: a drain of the node must not stop a process with live orders."""

from __future__ import annotations

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.labels import selector
from tradepulse_operator.resources.manifest import metadata, seal


def disruption_budget(runner: TradingRunner) -> Manifest:
    """A person who drains the node suspends the runner first, which stops it cleanly."""
    return seal(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(runner, runner.metadata.name),
            "spec": {
                "maxUnavailable": 0,
                "selector": {"matchLabels": selector(runner.metadata.name)},
            },
        }
    )
