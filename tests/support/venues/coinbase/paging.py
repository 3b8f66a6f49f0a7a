"""Pages of a long list. The cursor says where the last page ended, not how many items it had:
what arrives at the head between two pages neither repeats nor hides an item."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class BadCursor(ValueError):
    """Not a cursor of ours."""


def page(
    items: Sequence[T], key: Callable[[T], int], limit: int, cursor: str
) -> tuple[Sequence[T], str]:
    """Up to ``limit`` of ``items`` (falling ``key``) below ``cursor``, and the next cursor,
    which is "" on the last page. Raises :class:`BadCursor`."""
    if cursor:
        below = _position(cursor)
        items = [item for item in items if key(item) < below]
    chosen = items[:limit]
    more = len(items) > len(chosen)
    return chosen, _cursor(key(chosen[-1])) if more and chosen else ""


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at:{position}".encode()).decode()


def _position(cursor: str) -> int:
    try:
        marker, _, number = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if marker != "at":
            raise ValueError(marker)
        return int(number)
    except (ValueError, binascii.Error) as error:
        raise BadCursor(f"cursor {cursor!r} was not given out by this venue") from error
