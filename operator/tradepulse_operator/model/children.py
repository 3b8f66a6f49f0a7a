"""All children of a runner, in the order in which they must be applied."""

from __future__ import annotations

from collections.abc import Mapping

from tradepulse_operator.api.runner import TradingRunner

from .beside import beside_policy
from .configmap import config_map
from .intent import Intent
from .lease import lease, role, role_binding
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
    current: Manifest | None = None,
) -> tuple[Manifest, ...]:
    """What the pod needs comes before the StatefulSet that starts it.

    `configs`: hash → text of the configurations in use. `current`: the live claim, if there is one.
    The ServiceMonitor is last: where its kind isn't installed, everything else still stands.
    """
    return (
        service_account(runner),
        lease(runner),
        role(runner),
        role_binding(runner),
        *(config_map(runner, text) for _, text in sorted(configs.items())),
        claim(runner, current),
        service(runner),
        network_policy(runner),
        beside_policy(runner),
        disruption_budget(runner),
        stateful_set(runner, intent, configs),
        service_monitor(runner),
    )
