"""What a client asks for when it creates an order, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.support.venues.coinbase.errors import bad_request

TIME_IN_FORCE = {
    "limit_limit_gtc": "GOOD_UNTIL_CANCELLED",
    "limit_limit_fok": "FILL_OR_KILL",
    "sor_limit_ioc": "IMMEDIATE_OR_CANCEL",
    "market_market_ioc": "IMMEDIATE_OR_CANCEL",
}


class OrderRefused(Exception):
    """The order is not created. ``reason`` is a ``new_order_failure_reason``."""

    def __init__(self, reason: str, message: str, preview: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.preview = preview or f"PREVIEW_{reason}"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """``configuration`` is the client's own, to be echoed; sizes and price are read from it."""

    client_id: str
    product: str
    side: str
    kind: str
    configuration: Mapping[str, Any]
    base: Decimal | None
    quote: Decimal | None
    price: Decimal | None
    post_only: bool

    @property
    def echo(self) -> dict[str, Any]:
        return {self.kind: dict(self.configuration)}


def read_order(body: Mapping[str, Any]) -> OrderRequest:
    """Raises :class:`OrderRefused`, and an :class:`ApiError` where fields are missing."""
    client_id, product = _text(body, "client_order_id"), _text(body, "product_id")
    side = _text(body, "side")
    if side not in ("BUY", "SELL"):
        raise OrderRefused("INVALID_SIDE", f"side {side!r} is neither BUY nor SELL")
    kind, configuration = _configuration(body)
    request = OrderRequest(
        client_id,
        product,
        side,
        kind,
        configuration,
        base=_size(configuration, "base_size"),
        quote=_size(configuration, "quote_size"),
        price=_size(configuration, "limit_price"),
        post_only=bool(configuration.get("post_only", False)),
    )
    _check_sizes(request)
    return request


def _configuration(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    given = body.get("order_configuration")
    if not isinstance(given, Mapping) or len(given) != 1:
        raise bad_request("order_configuration must have exactly one entry")
    kind, configuration = next(iter(given.items()))
    if kind not in TIME_IN_FORCE or not isinstance(configuration, Mapping):
        raise _unsupported(f"{kind} is not supported")
    return kind, configuration


def _check_sizes(request: OrderRequest) -> None:
    if request.kind == "market_market_ioc":
        if (request.base is None) == (request.quote is None):
            raise _unsupported("Market orders need either a base or a quote size")
        if request.side == "SELL" and request.base is None:
            raise _unsupported("Market sells must be parameterized in base currency")
    elif request.base is None or request.price is None:
        raise _unsupported("Limit orders need a base size and a limit price")


def _unsupported(message: str) -> OrderRefused:
    return OrderRefused(
        "UNSUPPORTED_ORDER_CONFIGURATION", message, preview="PREVIEW_INVALID_ORDER_CONFIG"
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"{name} is required")
    return value


def _size(configuration: Mapping[str, Any], name: str) -> Decimal | None:
    """Sizes are strings: a JSON number has been a float on its way here."""
    text = configuration.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise bad_request(f"{name} must be a string")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise bad_request(f"{name} {text!r} is not a number") from error
    if not value.is_finite() or value <= 0:
        raise bad_request(f"{name} must be positive")
    return value
