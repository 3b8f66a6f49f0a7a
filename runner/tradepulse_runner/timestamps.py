"""Timestamps in text form."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """``at``, unix seconds, as an RFC 3339 timestamp in UTC, e.g. 2026-11-25T17:00:00Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
