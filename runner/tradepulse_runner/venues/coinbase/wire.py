"""Orders and fills: JSON as Coinbase writes it <-> the domain.

Shapes: docs.cdp.coinbase.com "Create Order", "List Orders", "List Fills", and the WebSocket's user
channel. Whatever doesn't have the shape raises :class:`Malformed`, which proves nothing about the
order, and never a KeyError: an unguarded field would pass for a refusal somewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tradepulse_runner.domain import (
    ZERO,
    Order,
    OrderStatus,
    OrderType,
    Side,
    Trade,
    VenueOrder,
)
from tradepulse_runner.errors import OutcomeUnknown

Json = Mapping[str, Any]
#: Orders that may still trade. An order is QUEUED before and CANCEL_QUEUED after it rests.
WORKING = frozenset({"PENDING", "OPEN", "QUEUED", "CANCEL_QUEUED", "EDIT_QUEUED"})
_CLOSED = {
    "FILLED": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.CANCELLED,  # by the venue, at its end date; ours have none
}


class Malformed(OutcomeUnknown):
    """An answer that can't be read."""


class OtherKind(Malformed):
    """An order of a kind that this runner never sends (stop, quote-sized, …)."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One entry of the fills list. ``at`` is ``sequence_timestamp`` in microseconds: what the list
    is filtered by. The client id is not in it."""

    entry_id: str
    venue_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal  # quote currency
    timestamp: float
    at: int

    def trade(self, client_id: str) -> Trade:
        return Trade(
            self.entry_id,
            client_id,
            self.symbol,
            self.side,
            self.price,
            self.quantity,
            self.timestamp,
            self.fee,
        )


# -- numbers and times -------------------------------------------------------------------------


def text(raw: Json, field: str) -> str:
    """A text that is there and not empty."""
    value = raw.get(field) if isinstance(raw, Mapping) else None
    if not isinstance(value, str) or not value:
        raise Malformed(f"no {field} in {shown(raw)}")
    return value


def decimal(raw: Json, field: str) -> Decimal:
    """A finite number; absent or empty is zero, as Coinbase writes it."""
    value = raw.get(field)
    try:
        number = Decimal(str(value)) if value not in (None, "") else ZERO
    except InvalidOperation:
        raise Malformed(f"{field} {value!r} is not a number") from None
    if not number.is_finite():
        raise Malformed(f"{field} {value!r} is not a number")
    return number


def microseconds(raw: Json, field: str) -> int:
    """An RFC 3339 time as microseconds since 1970."""
    value = text(raw, field)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Malformed(f"{field} {value!r} is not a time") from None
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def rfc3339(at: int) -> str:
    """Microseconds since 1970 as Coinbase reads them."""
    seconds, rest = divmod(at, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def items(raw: Json, field: str) -> list[Any]:
    """A list; null counts as empty."""
    value = raw.get(field) if isinstance(raw, Mapping) else ""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"no list {field} in {shown(raw)}")
    return value


def shown(raw: object) -> str:
    """The beginning of an answer, for an error's text."""
    return repr(raw)[:160]


def number(value: Decimal) -> str:
    """Plain digits, no exponent."""
    return format(value, "f")


# -- orders ------------------------------------------------------------------------------------


def order_body(order: Order, client_id: str) -> bytes:
    """The body of a create-order request. Sizes are in the base currency for either side."""
    return json.dumps(
        {
            "client_order_id": client_id,
            "product_id": order.symbol,
            "side": order.side.upper(),
            "order_configuration": configuration(order),
        }
    ).encode()


def configuration(order: Order) -> dict[str, dict[str, Any]]:
    """Coinbase's ``order_configuration`` of an order."""
    if order.price is None:
        return {"market_market_ioc": {"base_size": number(order.quantity)}}
    return {
        "limit_limit_gtc": {
            "base_size": number(order.quantity),
            "limit_price": number(order.price),
            "post_only": False,
        }
    }


def order_from(raw: Json) -> VenueOrder:
    """An entry of the orders list. Raises :class:`OtherKind` for one that isn't of our kinds."""
    filled = decimal(raw, "filled_size")
    return VenueOrder(
        text(raw, "client_order_id"),
        text(raw, "order_id"),
        asked_from(raw),
        status_from(text(raw, "status"), filled),
        filled,
    )


def asked_from(raw: Json) -> Order:
    """What the order asked for: ``product_id``, ``side`` and ``order_configuration``."""
    given = raw.get("order_configuration")
    # Kinds that an order is not of may be there, empty.
    present = {k: v for k, v in given.items() if v} if isinstance(given, Mapping) else {}
    kind, detail = next(iter(present.items())) if len(present) == 1 else ("", {})
    price: Decimal | None = None
    if kind == "limit_limit_gtc" and isinstance(detail, Mapping):
        price = decimal(detail, "limit_price")
    elif kind != "market_market_ioc" or not isinstance(detail, Mapping):
        raise OtherKind(f"order of another kind: {shown(given)}")
    if detail.get("quote_size") and not detail.get("base_size"):
        raise OtherKind(f"order sized in quote currency: {shown(given)}")
    return order_of(text(raw, "product_id"), text(raw, "side"), decimal(detail, "base_size"), price)


def order_of(symbol: str, side: str, quantity: Decimal, price: Decimal | None) -> Order:
    """A domain order out of the venue's words."""
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    try:
        return Order(symbol, Side(side.lower()), quantity, kind, price)
    except ValueError as error:
        raise Malformed(f"no order: {error}") from None


def status_from(name: str, filled: Decimal) -> OrderStatus:
    """Coinbase's status. A FAILED order may have traded before it failed."""
    if name in WORKING:
        return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.OPEN
    if name == "FAILED":
        return OrderStatus.CANCELLED if filled else OrderStatus.REJECTED
    if name not in _CLOSED:
        raise Malformed(f"order status {name!r} is not known")
    return _CLOSED[name]


def streamed_order(raw: Json, known: Order | None) -> VenueOrder | None:
    """An order of the user channel, whose words are others than the list's; ``known`` is the order
    as the list had it. None if the message alone doesn't have the whole order: when an order
    is cancelled, what was left of it is reported as zero."""
    filled, left = decimal(raw, "cumulative_quantity"), decimal(raw, "leaves_quantity")
    status = status_from(text(raw, "status"), filled)
    order = known
    if order is None:
        whole = (not status.terminal and left > 0) or status is OrderStatus.FILLED
        kind, price = text(raw, "order_type").upper(), decimal(raw, "limit_price")
        if not whole or kind not in ("LIMIT", "MARKET") or (kind == "LIMIT") != (price > 0):
            return None
        symbol, side = text(raw, "product_id"), text(raw, "order_side")
        order = order_of(symbol, side, filled + left, price if kind == "LIMIT" else None)
    return VenueOrder(text(raw, "client_order_id"), text(raw, "order_id"), order, status, filled)


# -- fills -------------------------------------------------------------------------------------


def fill_from(raw: Json) -> Fill | None:
    """An entry of the fills list; None for one that adjusts an earlier one (``REVERSAL``,
    ``CORRECTION``, ``SYNTHETIC``), which is no trade: what it changes shows in the positions.

    Its key is ``entry_id``: ``trade_id`` is "not unique for adjusted fills".
    """
    price, quantity = decimal(raw, "price"), decimal(raw, "size")
    if str(raw.get("trade_type", "FILL")) != "FILL":
        return None
    if price <= 0 or quantity <= 0:
        raise Malformed(f"fill without price or size: {shown(raw)}")
    if raw.get("size_in_quote") in (True, "true"):
        quantity /= price
    return Fill(
        text(raw, "entry_id"),
        text(raw, "order_id"),
        text(raw, "product_id"),
        order_side(raw),
        price,
        quantity,
        decimal(raw, "commission"),
        microseconds(raw, "trade_time") / 1e6,
        microseconds(raw, "sequence_timestamp"),
    )


def order_side(raw: Json) -> Side:
    try:
        return Side(text(raw, "side").lower())
    except ValueError:
        raise Malformed(f"side {raw.get('side')!r} is not known") from None
