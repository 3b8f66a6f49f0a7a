"""All children of a runner, in the order in which they must be applied."""

from __future__ import annotations

from collections.abc import Mapping

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.auxiliary.pod import auxiliary_policy
from tradepulse_operator.resources.desired_run import DesiredRun

from .config_map import config_map
from .lease import lease, role, role_binding
from .network_policy import network_policy
from .persistent_volume_claim import claim
from .pod_disruption_budget import disruption_budget
from .service import service
from .service_account import service_account
from .service_monitor import service_monitor
from .stateful_set import stateful_set


def children(
    runner: TradingRunner,
    intent: DesiredRun,
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
        auxiliary_policy(runner),
        disruption_budget(runner),
        stateful_set(runner, intent, configs),
        service_monitor(runner),
    )
