"""How Coinbase writes numbers, times and identifiers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal

_ORDERS = 0x6F726465722D4000_8000 << 48
_NAMESPACE = uuid.UUID("5a6f2d0e-8a5c-4c56-9b39-0c0ffee0c01b")


def number(value: Decimal) -> str:
    """Plain digits, no exponent, no trailing zeros after the point."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def stamp(seconds: float) -> str:
    """RFC 3339 with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_shown(seconds: float) -> float:
    """As precise as :func:`stamp` writes it: ``moment(stamp(seconds))``, but quickly."""
    return round(seconds, 6)


def moment(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises :class:`ValueError`."""
    return datetime.fromisoformat(text).timestamp()


def order_uuid(number_at_exchange: int) -> str:
    """Coinbase names orders by UUID; ours carry the exchange's number."""
    return str(uuid.UUID(int=_ORDERS | number_at_exchange))


def order_number(order_id: str) -> int | None:
    """The exchange's number, or None for an identifier that no order here can have."""
    try:
        value = uuid.UUID(order_id).int
    except ValueError:
        return None
    number_at_exchange = value & ((1 << 48) - 1)
    return number_at_exchange if value == _ORDERS | number_at_exchange else None


def named_uuid(*parts: object) -> str:
    """The same UUID for the same parts, in every run."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, parts))))
