"""The configuration's ``database``: servers and certificates.

There is no password and no weaker mode: servers are verified by ``ca_file`` and host name, and
authenticate the runner by its client certificate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from tradepulse_runner.errors import ConfigError


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    fits = bool(bare) and (":" not in bare or bare != host) and not set(bare) & set("/@ ,")
    if not (colon and fits and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. db-0.example.com:5432")
    return text


Server = Annotated[str, StringConstraints(max_length=260), AfterValidator(_server)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")]


class DatabaseConfig(BaseModel):
    """How the database is reached; unknown keys refused, values frozen.

    ``hosts``: ``HOST:PORT`` of the primary and its replicas, in any order: the one that can be
    written to is used. ``ca_file``, ``cert_file``, ``key_file``: PEM, read anew at each connection.
    ``spool_max_bytes`` on the state volume for what was not stored yet; ``spool_keep`` seconds
    that what was stored stays there, for a failover to a replica that lags at most so much.
    ``connect_timeout`` of one server, ``command_timeout`` of one statement: seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: Annotated[list[Server], Field(min_length=1, max_length=8)]
    name: Identifier = "tradepulse"
    user: Identifier
    ssl_mode: Literal["verify-full"] = "verify-full"
    ca_file: Path
    cert_file: Path
    key_file: Path
    spool_max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 36)] = 256 << 20
    spool_keep: Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)] = 3600.0
    connect_timeout: Annotated[float, Field(ge=0.5, le=60)] = 5.0
    command_timeout: Annotated[float, Field(ge=1, le=300)] = 30.0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server."""
        pairs = [server.rpartition(":") for server in self.hosts]
        return [(host.strip("[]"), int(port)) for host, _, port in pairs]


def require_files(config: DatabaseConfig) -> None:
    """Raise :class:`ConfigError` for a file that can't be read; the text contains none of its
    content."""
    for field in ("ca_file", "cert_file", "key_file"):
        path: Path = getattr(config, field)
        try:
            empty = not path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"database.{field}: {path}: {error.strerror}; remedy: mount the Secret with it"
            ) from None
        if empty:
            raise ConfigError(f"database.{field}: {path}: empty; remedy: give it a PEM text")
