"""Times as the API writes them, RFC 3339 in UTC, and as seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(now: float) -> str:
    """Unix seconds → RFC 3339 in UTC with microseconds, e.g. `2026-01-02T03:04:05.000006Z`."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: str) -> float:
    """RFC 3339 → unix seconds. Raises ValueError for text that isn't a time with a zone."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: write e.g. 2026-01-02T03:04:05Z")
    return parsed.timestamp()
