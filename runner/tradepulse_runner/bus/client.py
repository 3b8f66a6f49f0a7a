"""TLS and SASL settings of connections to the brokers.

Files are polled: a renewed certificate or password is used by the next connection. Unusable files,
perhaps half replaced, change nothing.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.errors import ConfigError


class ClientSecurity:
    """Connection options of a Kafka client, from the newest usable files."""

    def __init__(self, config: EventBusConfig, environment: Mapping[str, str]) -> None:
        self._config = config
        self._stamp: tuple[object, ...] = ()
        self._store: CredentialStore | None = None
        self._sasl = config.security_protocol == "SASL_SSL"
        self._environment = environment
        self._context: ssl.SSLContext | None = None
        self.problem = ""

    def options(self) -> dict[str, Any]:
        """Keyword arguments of an aiokafka client. Raises :class:`ConfigError` while there are
        no usable files."""
        self.refresh()
        if self._context is None:
            raise ConfigError(self.problem)
        options: dict[str, Any] = {
            "bootstrap_servers": self._config.bootstrap_servers,
            "security_protocol": self._config.security_protocol,
            "ssl_context": self._context,
        }
        if self._sasl:
            credential = self._credentials().current
            options["sasl_mechanism"] = self._config.sasl_mechanism
            options["sasl_plain_username"] = credential.key
            options["sasl_plain_password"] = credential.secret
        return options

    def refresh(self) -> bool:
        """Poll the files. True when there are newer credentials. Never raises."""
        changed = False
        stamp = tuple(_stamp(path) for path in _files(self._config))
        if stamp != self._stamp:
            try:
                self._context = context(self._config)
                self._stamp, self.problem, changed = stamp, "", True
            except ConfigError as error:
                self.problem = str(error)
        return self._credentials_changed() or changed

    def _credentials_changed(self) -> bool:
        if not self._sasl:
            return False
        try:
            return self._credentials().refresh()
        except ConfigError as error:
            self.problem = str(error)
            return False

    def _credentials(self) -> CredentialStore:
        if self._store is None:
            self._store = CredentialStore.open(
                "kafka", self._config.sasl_credentials_dir, self._environment
            )
        return self._store


def context(config: EventBusConfig) -> ssl.SSLContext:
    """A TLS context that trusts only ``ssl_cafile`` and checks host names. Raises
    :class:`ConfigError` naming field, file and remedy."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificates and host names
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_verify_locations(cafile=config.ssl_cafile)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("ssl_cafile", config.ssl_cafile, error) from None
    if config.ssl_certfile and config.ssl_keyfile:
        try:
            # Never asks: a passphrase would be awaited at a terminal that isn't there.
            tls.load_cert_chain(
                config.ssl_certfile, config.ssl_keyfile, password=_refuse_passphrase
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            raise _unusable("ssl_certfile", config.ssl_certfile, error) from None
    return tls


def _refuse_passphrase() -> str:
    raise ValueError("the key needs a passphrase")


def _unusable(name: str, path: Path, error: Exception) -> ConfigError:
    why = getattr(error, "strerror", None) or getattr(error, "reason", None) or "not usable"
    remedy = "provide the authorities' PEM" if name == "ssl_cafile" else "provide both PEM files"
    return ConfigError(f"event_bus.{name}: {path}: {why}; remedy: {remedy}")


def _files(config: EventBusConfig) -> list[Path]:
    files = (config.ssl_cafile, config.ssl_certfile, config.ssl_keyfile)
    return [path for path in files if path is not None]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = os.stat(path)
    except OSError:
        return ()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
