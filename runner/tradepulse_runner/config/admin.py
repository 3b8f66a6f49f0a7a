"""The configuration's ``admin``: listener, authentication and authorization of the admin API.

Secrets are in files that the environment names, never here (see ``files.secret``).
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tradepulse_runner.config.siem import SiemConfig

Port = Annotated[int, Field(ge=0, le=65_535)]
Word = Annotated[str, Field(min_length=1, max_length=512)]


class Scope(StrEnum):
    """What a caller may do."""

    READ_SWITCH = "killswitch:read"
    WRITE_SWITCH = "killswitch:write"
    READ_STATE = "state:read"


class Section(BaseModel):
    """Unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsConfig(Section):
    """PEM files of the server: its certificate with the chain, and the key. Polled: a
    renewed certificate is used without a restart."""

    certificate: Path
    key: Path


class OauthConfig(Section):
    """Bearer tokens: JWTs of ``issuer`` for ``audience``, signed by a key of ``jwks``, which is a
    JWK set or a PEM public key. ``name_claim`` names the person in the audit trail."""

    issuer: Word
    audience: Word
    jwks: Path
    name_claim: Word = "sub"


def _distinguished(text: str) -> str:
    """The one spelling of a name, so that two spellings of it are equal."""
    try:
        return x509.Name.from_rfc4514_string(text).rfc4514_string()
    except ValueError as error:
        raise ValueError(f"not a distinguished name (RFC 4514), e.g. CN=ada,O=desk: {error}") from (
            error
        )


class ClientConfig(Section):
    """A client certificate's ``subject`` (RFC 4514, as ``openssl x509 -noout -subject -nameopt
    RFC2253`` prints it), and what its holder may do."""

    subject: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_distinguished)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]


class MtlsConfig(Section):
    """Client certificates that ``client_ca`` (PEM) issued, of the ``clients`` named here."""

    client_ca: Path
    clients: Annotated[list[ClientConfig], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _different(self) -> MtlsConfig:
        if len({client.subject for client in self.clients}) != len(self.clients):
            raise ValueError("mtls.clients has a subject twice: list all its scopes in one entry")
        return self


class AdminConfig(Section):
    """Listener, authentication of callers (``oauth``, ``mtls`` or both), and forwarding of the
    audit trail."""

    host: str = "0.0.0.0"
    port: Port = 8443
    tls: TlsConfig | None = None
    oauth: OauthConfig | None = None
    mtls: MtlsConfig | None = None
    siem: SiemConfig | None = None

    @model_validator(mode="after")
    def _guarded(self) -> AdminConfig:
        if self.oauth is None and self.mtls is None:
            raise ValueError("set oauth, mtls or both: nobody may ask without saying who they are")
        if self.tls is None and self.mtls is not None:
            raise ValueError("mtls needs tls: client certificates are shown in a TLS handshake")
        if self.tls is None and not loopback(self.host):
            raise ValueError(
                "set tls (certificate, key), or listen on a loopback address: a token that is sent"
                " in the clear can be used by whoever sees it"
            )
        return self


def loopback(host: str) -> bool:
    """Whether the address ``host`` is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
