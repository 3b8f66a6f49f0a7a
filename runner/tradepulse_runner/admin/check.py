"""Checks that the secrets, keys and certificates of the admin API are usable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tradepulse_runner.admin.certificates import ServerTls
from tradepulse_runner.admin.start import audit_secret
from tradepulse_runner.admin.tokens import Tokens
from tradepulse_runner.config.admin import AdminConfig
from tradepulse_runner.files.secret import SIEM_SECRET, WatchedSecret
from tradepulse_runner.siem.start import siem_secret


def checks(config: AdminConfig, environment: Mapping[str, str]) -> Iterator[Callable[[], object]]:
    """Each raises :class:`ConfigError` for what can't be used."""
    yield lambda: audit_secret(environment)
    if config.tls is not None:
        tls, mtls = config.tls, config.mtls
        yield lambda: ServerTls(tls, mtls)
    if config.oauth is not None:
        oauth = config.oauth
        yield lambda: Tokens(oauth)
    if config.siem is not None:
        yield lambda: siem_secret(environment)
        # A running process waits for the file; a check before a start must fail without it.
        yield lambda: WatchedSecret.of(SIEM_SECRET, environment)
