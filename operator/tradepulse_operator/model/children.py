"""All children of a runner, in the order in which they must be applied."""

from __future__ import annotations

from collections.abc import Mapping

from tradepulse_operator.api.runner import TradingRunner

from .configmap import config_map
from .intent import Intent
from .manifest import Manifest
from .networkpolicy import network_policy
from .pdb import disruption_budget
from .pvc import claim
from .service import service
from .serviceaccount import service_account
from .servicemonitor import service_monitor
from .statefulset import stateful_set


def children(
    runner: TradingRunner,
    intent: Intent,
    configs: Mapping[str, str],
    current_size: str = "0",
) -> tuple[Manifest, ...]:
    """What the pod needs comes before the StatefulSet that starts it.

    `configs`: hash → text of the configurations in use; without the one of `intent.release` its
    ConfigMap is left out. `current_size`: what the live claim asks for. The ServiceMonitor is last:
    where its kind isn't installed, everything else still stands.
    """
    text = configs.get(intent.release.config_hash)
    return (
        service_account(runner),
        *(() if text is None else (config_map(runner, text),)),
        claim(runner, current_size),
        service(runner),
        network_policy(runner, intent),
        disruption_budget(runner),
        stateful_set(runner, intent, configs),
        service_monitor(runner),
    )
