"""TLS of the admin API: the server certificate, reloaded while running, and client certificates.

A client certificate is optional in the handshake: a caller without one and without a token gets an
error response and an audit record, where a failed handshake would leave neither. A certificate of
another authority ends the handshake.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509

from tradepulse_runner.admin.identity import Identity, Unauthenticated, usable_name
from tradepulse_runner.config.admin import ClientConfig, MtlsConfig, TlsConfig
from tradepulse_runner.errors import ConfigError

log = logging.getLogger(__name__)


class ServerTls:
    """``context`` to listen with; each handshake uses the newest usable files."""

    def __init__(self, tls: TlsConfig, mtls: MtlsConfig | None) -> None:
        """Raises :class:`ConfigError` naming the file."""
        self._tls, self._mtls = tls, mtls
        self._stamp = self._file_stamps()
        self.context = self._current = self._load()
        self.context.sni_callback = self._choose
        self.problem = ""

    def refresh(self) -> bool:
        """Reload changed files; True when new ones are in use. Never raises."""
        stamp = self._file_stamps()
        if stamp == self._stamp:
            return False
        try:
            self._current = self._load()
        except ConfigError as error:  # perhaps half replaced: retried at the next poll
            if str(error) != self.problem:
                log.error("admin.tls_unusable", extra={"why": str(error)})
            self.problem = str(error)
            return False
        self._stamp, self.problem = stamp, ""
        log.warning("admin.tls_replaced")
        return True

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        """``SSLContext.sni_callback``: called in every handshake, also without SNI."""
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._tls.certificate, self._tls.key)
            if self._mtls is not None:
                context.load_verify_locations(self._mtls.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(path) for path in self._files())
            why = getattr(error, "reason", None) or error.strerror or type(error).__name__
            raise ConfigError(
                f"admin.tls: {files} can't be used ({why}); remedy: mount PEM files, the key"
                " without a password and belonging to the certificate"
            ) from None
        return context

    def _files(self) -> Iterable[Path]:
        yield from (self._tls.certificate, self._tls.key)
        if self._mtls is not None:
            yield self._mtls.client_ca

    def _file_stamps(self) -> tuple[object, ...]:
        return tuple(_state(path) for path in self._files())


def _state(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def subject_of(transport: asyncio.BaseTransport) -> str:
    """The subject (RFC 4514) of the verified client certificate; "" when none was shown."""
    tls = transport.get_extra_info("ssl_object")
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string() if shown else ""


class Certificates:
    """Maps certificate subjects to identities."""

    def __init__(self, clients: Iterable[ClientConfig]) -> None:
        self._clients = {client.subject: client.scopes for client in clients}

    def identify(self, subject: str) -> Identity:
        """Raises :class:`Unauthenticated`."""
        scopes = self._clients.get(subject)
        if scopes is None:
            raise Unauthenticated("the client certificate's subject is not listed in mtls.clients")
        return Identity(usable_name(subject), scopes, "mtls")
