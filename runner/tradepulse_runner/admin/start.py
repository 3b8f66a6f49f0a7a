"""Builds the admin API of a configuration; started and stopped by the runner."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from tradepulse_runner.admin import schemas
from tradepulse_runner.admin.access import Access
from tradepulse_runner.admin.app import build
from tradepulse_runner.admin.auditing import Auditor
from tradepulse_runner.admin.certificates import Certificates
from tradepulse_runner.admin.serving import AdminServer
from tradepulse_runner.admin.surface import Surface
from tradepulse_runner.admin.tokens import Tokens
from tradepulse_runner.audit.signing import Signer
from tradepulse_runner.audit.trail import AuditTrail
from tradepulse_runner.config.admin import AdminConfig
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.secret import (
    AUDIT_SECRET,
    WatchedSecret,
    keep_fresh,
    refresh_interval,
)
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.siem.start import Siem

log = logging.getLogger(__name__)


class Admin:
    """The admin API of one loop. ``status()``: body of ``/status``; ``timer``: monotonic
    seconds."""

    def __init__(
        self,
        config: AdminConfig,
        loop: LiveExecutionLoop,
        status: Callable[[], dict[str, Any]],
        environment: Mapping[str, str],
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises :class:`ConfigError` for secrets, keys and certificates that can't be used, and
        :class:`StateError` for a damaged trail."""
        self._secret = audit_secret(environment)
        self._interval = refresh_interval(environment)
        self.signer = Signer(self._secret)
        self.trail = AuditTrail(loop.config.state_dir, sign=self.signer)
        self.siem = self._build_siem(config, loop, environment)
        auditor = Auditor(self.trail.append, timer)
        tokens = Tokens(config.oauth) if config.oauth else None
        certificates = Certificates(config.mtls.clients) if config.mtls else None
        access = Access(tokens, certificates, auditor, timer)
        self.app = build(Surface(loop, status, access, auditor, self._audit, self._forwarding))
        self._server = AdminServer(config, self.app)
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; the port. Raises :class:`ConfigError`."""
        port = await self._server.start()
        secrets = [self._secret, *([self.siem.secret] if self.siem else [])]
        self._refresher = asyncio.create_task(keep_fresh(secrets, self._interval), name="secrets")
        if self.siem is not None:
            self.siem.start()
        return port

    async def stop(self) -> None:
        await self._server.stop()
        if self.siem is not None:
            await self.siem.stop()
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.wait({self._refresher})
        self.trail.close()

    def _build_siem(
        self, config: AdminConfig, loop: LiveExecutionLoop, environment: Mapping[str, str]
    ) -> Siem | None:
        if config.siem is None:
            return None
        source, registry = loop.config.runner, loop.metrics.registry
        return Siem(config.siem, source, self.trail, environment, registry)

    def _audit(self) -> schemas.AuditView:
        return schemas.AuditView(
            key_id=self.signer.key_id, records=self.trail.seq, secret=_view(self._secret)
        )

    def _forwarding(self) -> schemas.SiemView | None:
        if self.siem is None:
            return None
        return schemas.SiemView(**self.siem.status(), secret=_view(self.siem.secret))


def _view(secret: WatchedSecret) -> schemas.SecretView:
    return schemas.SecretView(generation=secret.generation, problem=secret.problem)


def audit_secret(environment: Mapping[str, str]) -> WatchedSecret:
    """Raises :class:`ConfigError` when there is none, or one that can't be used."""
    secret = WatchedSecret.of(AUDIT_SECRET, environment)
    if secret is None:
        raise ConfigError(
            f"admin: neither {AUDIT_SECRET} nor {AUDIT_SECRET}_PATH is set, and who did what must"
            " be signed; remedy: set one of them, to a secret of 16 characters or more or to a"
            " file that holds it"
        )
    return secret
