"""Keys that a venue is to know, from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, repr=False)
class Key:
    """``secret`` of an HMAC key, or the ``public_key_pem`` of another."""

    api_key: str
    account: str = "runner"
    secret: str | None = None
    public_key_pem: str | None = None


def read_keys(path: Path) -> list[Key]:
    """A JSON list of ``{"api_key", "account", "secret" | "public_key_pem"}``. Raises ValueError
    that names the file and the remedy, and never a secret."""
    try:
        return [Key(**entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is no list of keys ({type(error).__name__}): write"
            ' [{"api_key": "...", "account": "runner", "secret": "..."}]'
            ' or "public_key_pem" in the place of "secret"'
        ) from None


def write_credentials(directory: Path, venue: str, key: str, secret: str) -> None:
    """``BINANCE_API_KEY`` and ``BINANCE_API_SECRET``, say, for the owner's eyes only."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in (
        (f"{venue.upper()}_API_KEY", key),
        (f"{venue.upper()}_API_SECRET", secret),
    ):
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(content)
