"""The runner's admin surface: who may reach it, how they are known, and what is signed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from tradepulse_operator.api.base import Model, distinct, matches, required, rule, unique
from tradepulse_operator.api.units import Labels, ObjectName

Word = Annotated[
    str,
    Field(max_length=256),
    matches(
        r"^[\x21-\x7e]+( [\x21-\x7e]+)*$",
        "not a word: write printable ASCII, without blanks at the ends",
    ),
]
#: No query and no credentials: an address is shown in logs, and what proves something must not be.
HttpsUrl = Annotated[
    str,
    Field(max_length=512),
    matches(
        r"^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?(/[-A-Za-z0-9._~%/]*)?$",
        "not an https address without a query: write e.g. https://siem.example.com/audit",
    ),
]
_VALUE = r'([^,+"\\<>;=\x00-\x1f\x7f]|\\[,+"\\<>;= #])+'
_PART = rf"([A-Z]+|[0-9]+(\.[0-9]+)+)={_VALUE}"
Subject = Annotated[
    str,
    Field(max_length=256),
    matches(
        rf"^{_PART}([,+]{_PART})*$",
        "not a distinguished name: write it as `openssl x509 -noout -subject -nameopt RFC2253`"
        " prints it, e.g. CN=ada,O=desk",
    ),
]
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
Cidr = Annotated[
    str,
    Field(max_length=18),
    matches(
        rf"^({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])$",
        "not a range of IPv4 addresses: write e.g. 192.0.2.0/24",
    ),
]


class Scope(StrEnum):
    """What a caller may do."""

    READ_SWITCH = "killswitch:read"
    WRITE_SWITCH = "killswitch:write"
    READ_STATE = "state:read"


class Oauth(Model):
    """Callers with a bearer token (JWT) of an issuer."""

    issuer: Word = Field(
        description="The tokens' `iss`.",
        json_schema_extra=required("write the issuer as it is in the tokens' iss"),
    )
    audience: Word = Field(
        description="The tokens' `aud`.",
        json_schema_extra=required("write the audience as it is in the tokens' aud"),
    )
    jwks_secret: ObjectName = Field(
        description="Secret whose key jwks.json holds the issuer's public keys (a JWK set, or one"
        " PEM public key).",
        json_schema_extra=required("name the Secret that holds jwks.json, the issuer's keys"),
    )
    name_claim: Word = Field(
        default="sub", description="The claim that names the person in the audit trail."
    )


class Client(Model):
    """A client certificate and what its holder may do."""

    subject: Subject = Field(
        description="Subject of the certificate (RFC 4514), e.g. CN=ada,O=desk.",
        json_schema_extra=required("write the certificate's subject, e.g. CN=ada,O=desk"),
    )
    scopes: Annotated[
        tuple[Scope, ...],
        Field(min_length=1, max_length=3),
        distinct("scopes must be different: remove the one that is listed twice"),
    ] = Field(
        description="killswitch:read, killswitch:write, state:read.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            **required("list what its holder may do, e.g. killswitch:write"),
        },
    )


class Mtls(Model):
    """Callers with a client certificate."""

    cel = (
        rule(
            "self.clients.all(a, !has(a.subject) || self.clients.exists_one(b, has(b.subject)"
            " && b.subject == a.subject))",
            "clients must have different subjects: list all scopes of one in one entry",
            ".clients",
            holds=lambda it: unique(client.subject for client in it.clients),
            needs=["clients"],
        ),
    )

    client_ca_secret: ObjectName = Field(
        description="Secret whose key ca.crt holds the authority that issues the certificates.",
        json_schema_extra=required("name the Secret that holds ca.crt, the clients' authority"),
    )
    clients: Annotated[tuple[Client, ...], Field(min_length=1, max_length=16)] = Field(
        description="Who is let in.",
        json_schema_extra=required("list who is let in, with subject and scopes"),
    )


class Siem(Model):
    """Receiver of the audit trail. While it is down nothing waits for it, and nothing is lost."""

    endpoint: HttpsUrl = Field(
        description="Takes batches of signed audit records, one line of JSON each.",
        json_schema_extra=required("write the receiver's address, e.g. https://siem.example.com/x"),
    )
    token_url: HttpsUrl = Field(
        description="Gives the token for that (OAuth2 client credentials).",
        json_schema_extra=required("write where the token comes from, an https address"),
    )
    client_id: Word = Field(
        description="The OAuth2 client.", json_schema_extra=required("name the OAuth2 client")
    )
    scope: Word | None = Field(
        default=None, description="Scope of the token; none is asked for when left out."
    )
    client_secret: ObjectName = Field(
        description="Secret whose key secret holds the client's secret, 16 characters or more; read"
        " again while running.",
        json_schema_extra=required("name the Secret that holds the client's secret"),
    )
    ca_secret: ObjectName | None = Field(
        default=None,
        description="Secret whose key ca.crt holds authorities to trust instead of the system's.",
    )

    @property
    def ports(self) -> set[int]:
        """Where endpoint and token server listen."""
        return {urlsplit(url).port or 443 for url in (self.endpoint, self.token_url)}


class Peer(Model):
    """Pods, or addresses, that may open connections."""

    cel = (
        rule(
            "has(self.cidr) != (has(self.namespaceLabels) || has(self.podLabels))",
            "a peer is either a cidr, or pods by namespaceLabels, podLabels or both: set one of"
            " the two",
            ".cidr",
            holds=lambda it: (
                (it.cidr is None) != (it.namespace_labels is None and it.pod_labels is None)
            ),
        ),
    )

    namespace_labels: Labels | None = Field(
        default=None,
        description="Labels of the pods' namespaces; the runner's own namespace when left out.",
    )
    pod_labels: Labels | None = Field(
        default=None, description="Labels of the pods; all of those namespaces when left out."
    )
    cidr: Cidr | None = Field(default=None, description="IPv4 addresses, e.g. 192.0.2.0/24.")


class Admin(Model):
    """Kill switch, state, positions and orders for people, over HTTPS on port 8443."""

    cel = (
        rule(
            "has(self.oauth) || has(self.mtls)",
            "admin needs oauth, mtls or both: nobody may ask without saying who they are",
            ".oauth",
            holds=lambda it: it.oauth is not None or it.mtls is not None,
        ),
    )

    tls_secret: ObjectName = Field(
        description="Secret of type kubernetes.io/tls with the server's certificate; a renewed one"
        " is used without a restart.",
        json_schema_extra=required(
            "name the Secret with tls.crt and tls.key: a token sent in the clear can be used by"
            " whoever sees it"
        ),
    )
    audit_secret: ObjectName = Field(
        description="Secret whose key secret signs the audit trail, 16 characters or more; keep the"
        " old one for as long as records that it signed.",
        json_schema_extra=required(
            "name the Secret that signs audit records: who did what must be provable"
        ),
    )
    secret_refresh_interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=300,
        description="How often the secrets' files are read again, in seconds; a change takes effect"
        " with the next restart.",
    )
    oauth: Oauth | None = Field(default=None, description="Callers with a bearer token.")
    mtls: Mtls | None = Field(default=None, description="Callers with a client certificate.")
    siem: Siem | None = Field(
        default=None,
        description="Where the audit trail is forwarded to; it stays on the volume alone when left"
        " out.",
    )
    allow_from: Annotated[tuple[Peer, ...], Field(max_length=8)] = Field(
        default=(),
        description="Who may connect, by the runner's NetworkPolicy; when left out, only the"
        " node (kubectl port-forward works).",
    )
