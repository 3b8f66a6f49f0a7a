"""Builds the forwarding of a configuration; started and stopped by the admin API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from tradepulse_runner.audit.trail import AuditTrail
from tradepulse_runner.config.siem import SiemConfig
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.secret import SIEM_SECRET, WatchedSecret
from tradepulse_runner.siem.client import SiemClient
from tradepulse_runner.siem.forwarder import Forwarder


class Siem:
    """Forwards ``trail``. ``source``: ``namespace/name`` of the runner."""

    def __init__(
        self,
        config: SiemConfig,
        source: str,
        trail: AuditTrail,
        environment: Mapping[str, str],
        registry: CollectorRegistry,
    ) -> None:
        """Raises :class:`ConfigError` when the environment names no secret."""
        self.secret = siem_secret(environment)
        client = SiemClient(config, source, self.secret)
        self._forwarder = Forwarder(config, client, trail.path, lambda: trail.seq, registry)
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._work = asyncio.create_task(self._forwarder.run(), name="siem")

    async def stop(self) -> None:
        """Stop at once; unacknowledged records are sent after the next start."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})

    def status(self) -> dict[str, Any]:
        return self._forwarder.status()


def siem_secret(environment: Mapping[str, str]) -> WatchedSecret:
    """Raises :class:`ConfigError` when the environment names none. An unusable file is no error:
    an optional service must not keep a runner from starting."""
    secret = WatchedSecret.of(SIEM_SECRET, environment, patient=True)
    if secret is None:
        raise ConfigError(
            f"admin.siem: neither {SIEM_SECRET} nor {SIEM_SECRET}_PATH is set; remedy: set"
            f" {SIEM_SECRET}_PATH to a file with the client's secret, 16 characters or more"
        )
    return secret
