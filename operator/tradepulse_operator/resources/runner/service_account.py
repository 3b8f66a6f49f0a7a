"""The identity of the pod. Its one permission is its writer Lease, see `lease`; the pod asks for a
short-lived token itself."""

from __future__ import annotations

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.manifest import metadata, seal


def service_account(runner: TradingRunner) -> Manifest:
    """The runner's own ServiceAccount, so that nothing granted to `default` reaches it."""
    return seal(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(runner, runner.metadata.name),
            "automountServiceAccountToken": False,
        }
    )
