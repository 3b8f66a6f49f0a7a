"""What `kubectl get` shows of each resource, and which fields it can select by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Column = dict[str, Any]


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Column:
    """One column; `wide`: only with `-o wide`."""
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


_AGE = _column("Age", ".metadata.creationTimestamp", "date")

#: By plural.
COLUMNS: Mapping[str, Sequence[Column]] = {
    "tradingrunners": (
        _column("Phase", ".status.phase"),
        _column("Release", ".status.activeRelease.image"),
        _column("Ready", _condition("Ready")),
        _column("Trading", _condition("TradingEnabled")),
        _column("Cutover", ".status.cutover"),
        _column("Config", ".status.activeRelease.configMap", wide=True),
        _column("Epoch", ".status.writerEpoch", "integer", wide=True),
        _AGE,
    ),
    "releasecutovers": (
        _column("Runner", ".spec.runner"),
        _column("Phase", ".status.phase"),
        _column("Target", ".status.target.image"),
        _column("Verdict", ".status.verdict.verdict"),
        _AGE,
        # Last, because it is as long as it needs to be.
        _column("Message", ".status.message"),
    ),
}

SELECTABLE: Mapping[str, Sequence[str]] = {
    "tradingrunners": (".status.phase",),
    "releasecutovers": (".spec.runner", ".status.phase"),
}
