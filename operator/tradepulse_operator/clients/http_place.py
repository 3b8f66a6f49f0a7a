"""Which server a message speaks of."""

from __future__ import annotations

from urllib.parse import urlsplit


def place(what: str, url: str) -> str:
    """`what` at `url`, without user, password and query, for messages."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{what} at {parts.scheme}://{parts.hostname}{port}"
