"""Where the runner's audit trail and copies of its state go: PostgreSQL."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model, distinct, matches, required
from tradepulse_operator.api.units import ObjectName

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Server = Annotated[
    str,
    Field(max_length=259),
    matches(
        rf"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]):{_PORT}$",
        "not HOST:PORT: write e.g. db-rw.databases.svc:5432",
    ),
]
Identifier = Annotated[
    str,
    Field(max_length=63),
    matches(
        r"^[A-Za-z_][A-Za-z0-9_.-]*$",
        "not a name that PostgreSQL has: write letters, digits, '_', '.' and '-', beginning with a"
        " letter or '_'",
    ),
]
_HOSTS = distinct("hosts must be different: remove the one that is listed twice")


class Database(Model):
    """A PostgreSQL database. While it is down nothing waits for it: what it lacks is stored later.

    There is no password and no unencrypted connection: both sides prove themselves by certificates.
    """

    hosts: Annotated[tuple[Server, ...], Field(min_length=1, max_length=8), _HOSTS] = Field(
        description="HOST:PORT of the primary and its replicas, in any order; the one that can be"
        " written to is used.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            **required("list the primary and its replicas, e.g. db-rw.databases.svc:5432"),
        },
    )
    name: Identifier = Field(default="tradepulse", description="Name of the database.")
    user: Identifier = Field(
        description="Role to connect as, which the certificate is issued to; a member of"
        " tradepulse_writer.",
        json_schema_extra=required("name the role that the client certificate is issued to"),
    )
    tls_secret: ObjectName = Field(
        description="Secret with the keys ca.crt, tls.crt and tls.key; mounted as files, never read"
        " by the operator.",
        json_schema_extra=required("name the Secret that holds ca.crt, tls.crt and tls.key"),
    )

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the servers listen, each port once."""
        return tuple(sorted({int(host.rpartition(":")[2]) for host in self.hosts}))
