"""What the work queue speaks of: one custom resource."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner


@dataclass(frozen=True, order=True)
class Key:
    """A TradingRunner or a ReleaseCutover. `kind`: as in its manifest."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


def runner(namespace: str, name: str) -> Key:
    """Key of a TradingRunner."""
    return Key(TradingRunner.KIND, namespace, name)


def cutover(namespace: str, name: str) -> Key:
    """Key of a ReleaseCutover."""
    return Key(ReleaseCutover.KIND, namespace, name)
