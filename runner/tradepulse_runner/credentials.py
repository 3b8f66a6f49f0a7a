"""Venue credentials: from mounted files or the environment, reloaded while running.

A venue's key pair is ``<CONNECTOR>_API_KEY`` and ``<CONNECTOR>_API_SECRET`` (for example
``BINANCE_API_KEY``), each a file of that name in the venue's ``credentials_dir`` or, without a
directory, an environment variable. The secret of a key-pair scheme (Ed25519, ES256) is its PEM.

The next request uses what is there when it is signed. A request keeps the credential it was
signed with, so a venue that refuses one can be told from a venue that refuses the newest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tradepulse_runner.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credential:
    """One key pair. ``generation`` counts the changes since the start, from 1."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    generation: int = 1


class CredentialStore:
    """The newest credentials of one venue. Never shows a secret in a text."""

    def __init__(
        self, connector: str, directory: Path | None, environment: Mapping[str, str]
    ) -> None:
        self._names = tuple(f"{connector.upper()}_API_{part}" for part in ("KEY", "SECRET"))
        self._directory, self._environment = directory, environment
        self._current: Credential | None = None

    @classmethod
    def open(
        cls, connector: str, directory: Path | None, environment: Mapping[str, str]
    ) -> CredentialStore:
        """A store that has credentials. Raises :class:`ConfigError` naming what is missing."""
        store = cls(connector, directory, environment)
        store.refresh()
        return store

    @property
    def current(self) -> Credential:
        """What the next request is signed with."""
        assert self._current is not None  # open() read it
        return self._current

    def refresh(self) -> bool:
        """Read again; whether they changed. Raises :class:`ConfigError` when one is missing."""
        key, secret = (self._read(name) for name in self._names)
        before = self._current
        if before is not None and (before.key, before.secret) == (key, secret):
            return False
        self._current = Credential(key, secret, before.generation + 1 if before else 1)
        return True

    def refused(self, used: Credential) -> bool:
        """The venue refused ``used``: whether newer ones are there, to sign the request again."""
        self.refresh()
        return self.current.generation > used.generation

    def _read(self, name: str) -> str:
        if self._directory is None:
            value, place = self._environment.get(name, ""), f"the environment variable {name}"
        else:
            path = self._directory / name
            place = f"the file {path}"
            value = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not value.strip():
            raise ConfigError(f"{name}: missing; remedy: provide it as {place}")
        return value.strip()
