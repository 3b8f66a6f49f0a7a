"""The claim of the order state."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.state import Reclaim
from tradepulse_operator.common.names import pvc_name
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.resources.manifest import metadata, seal
from tradepulse_operator.resources.quantity import canonical, larger


def claim(runner: TradingRunner, current: Manifest | None = None) -> Manifest:
    """The claim. Of `current`, the live one, everything stays that can't be changed.

    It may be the volume of an earlier runner of that name, and a volume can't shrink. It has an
    owner only when the spec says that it may go with the runner: the order state is what can't be
    made again.
    """
    state = runner.spec.state
    owned = state.reclaim is Reclaim.DELETE
    live: dict[str, Any] = (current or {}).get("spec") or {}
    asked = ((live.get("resources") or {}).get("requests") or {}).get("storage", "0")
    spec: dict[str, Any] = {
        "accessModes": live.get("accessModes") or [state.access_mode],
        "resources": {"requests": {"storage": canonical(larger(state.size, asked))}},
    }
    if state.storage_class is not None:
        spec["storageClassName"] = live.get("storageClassName") or state.storage_class
    return seal(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(runner, pvc_name(runner.metadata.name), owned=owned),
            "spec": spec,
        }
    )
