"""What the command line settles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`namespaces`: empty for all. `resync`: seconds. `namespace`: where the lease is."""

    namespaces: tuple[str, ...] = ()
    default_prometheus: str = ""
    workers: int = 8
    resync: float = 300.0
    port: int = 8080
    namespace: str = "default"
    identity: str = "local"

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """Namespaces to list; None stands for all of them."""
        return self.namespaces or (None,)
