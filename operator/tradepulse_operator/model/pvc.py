"""The claim that holds the order state."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.names import pvc_name
from tradepulse_operator.api.runner import Reclaim, TradingRunner

from .manifest import Manifest, metadata, seal
from .quantity import canonical, larger


def claim(runner: TradingRunner, current_size: str = "0") -> Manifest:
    """The claim; `current_size` is what the live one asks for, as a claim can't shrink.

    It has an owner only when the spec says that it may go with the runner: the order state is
    what can't be made again.
    """
    state = runner.spec.state
    owned = state.reclaim is Reclaim.DELETE
    size = canonical(larger(state.size, current_size))
    spec: dict[str, Any] = {
        "accessModes": [state.access_mode],
        "resources": {"requests": {"storage": size}},
    }
    if state.storage_class is not None:
        spec["storageClassName"] = state.storage_class
    return seal(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(runner, pvc_name(runner.metadata.name), owned=owned),
            "spec": spec,
        }
    )
