"""Query strings of the history endpoints, read strictly: a filter that is misspelt or not known
here is an error, not a longer list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from tests.support.venues.coinbase.errors import bad_request
from tests.support.venues.coinbase.values import as_shown, moment, named_uuid, order_uuid
from tests.support.venues.exchange import Fill, OrderView

WORKING = frozenset({"OPEN", "PENDING", "QUEUED", "CANCEL_QUEUED"})
MOST_ORDERS = 1000
MOST_FILLS = 250
# Understood by the venue, without meaning for a spot account with one portfolio.
_IGNORED = frozenset(
    {
        "product_type",
        "order_placement_source",
        "contract_expiry_type",
        "retail_portfolio_id",
        "user_native_currency",
        "use_simplified_total_value_calculation",
    }
)


class Params(Protocol):
    """A query string: names may occur more than once."""

    def getall(self, key: str, default: list[str]) -> list[str]: ...
    def get(self, key: str, default: str) -> str: ...
    def keys(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Span:
    """From, inclusive, to, exclusive; unix seconds, compared as they are shown."""

    begin: float | None
    end: float | None

    def holds(self, time: float) -> bool:
        shown = as_shown(time)
        return (self.begin is None or self.begin <= shown) and (
            self.end is None or shown < self.end
        )


@dataclass(frozen=True, slots=True)
class OrderQuery:
    order_ids: frozenset[str]
    products: frozenset[str]
    statuses: frozenset[str]
    side: str
    created: Span
    limit: int
    cursor: str

    @classmethod
    def read(cls, params: Params) -> Self:
        """Raises :class:`ApiError`."""
        _check_names(
            params,
            "order_ids product_ids product_id order_status order_side start_date end_date limit"
            " cursor",
        )
        statuses = _many(params, "order_status")
        if "OPEN" in statuses and len(statuses) > 1:
            raise bad_request("Cannot pair OPEN orders with other order types")
        return cls(
            _many(params, "order_ids"),
            _many(params, "product_ids", "product_id"),
            statuses,
            params.get("order_side", ""),
            Span(_time(params, "start_date"), _time(params, "end_date")),
            _limit(params, MOST_ORDERS),
            params.get("cursor", ""),
        )

    @property
    def only_working(self) -> bool:
        """Whether all that is asked for is still open at the exchange."""
        return bool(self.statuses) and self.statuses <= WORKING

    def takes(self, order: OrderView, status: str) -> bool:
        return (
            (not self.order_ids or order_uuid(order.id) in self.order_ids)
            and (not self.products or order.symbol in self.products)
            and (not self.statuses or status in self.statuses)
            and self.side in ("", order.side)
            and self.created.holds(order.created)
        )


@dataclass(frozen=True, slots=True)
class FillQuery:
    order_ids: frozenset[str]
    trade_ids: frozenset[str]
    products: frozenset[str]
    traded: Span
    limit: int
    cursor: str

    @classmethod
    def read(cls, params: Params) -> Self:
        """Raises :class:`ApiError`."""
        _check_names(
            params,
            "order_ids order_id trade_ids product_ids product_id start_sequence_timestamp"
            " end_sequence_timestamp limit cursor",
        )
        return cls(
            _many(params, "order_ids", "order_id"),
            _many(params, "trade_ids"),
            _many(params, "product_ids", "product_id"),
            Span(
                _time(params, "start_sequence_timestamp"), _time(params, "end_sequence_timestamp")
            ),
            _limit(params, MOST_FILLS),
            params.get("cursor", ""),
        )

    def takes(self, fill: Fill) -> bool:
        return (
            (not self.order_ids or order_uuid(fill.order_id) in self.order_ids)
            and (not self.trade_ids or named_uuid("trade", fill.symbol, fill.id) in self.trade_ids)
            and (not self.products or fill.symbol in self.products)
            and self.traded.holds(fill.time)
        )


def read_limit(params: Params, most: int) -> int:
    """``limit``, at most ``most``. Raises :class:`ApiError`."""
    return _limit(params, most)


def _check_names(params: Params, known: str) -> None:
    if strange := set(params.keys()) - set(known.split()) - _IGNORED:
        raise bad_request(f"unknown parameter {', '.join(sorted(strange))}")


def _many(params: Params, *names: str) -> frozenset[str]:
    return frozenset(value for name in names for value in params.getall(name, []))


def _time(params: Params, name: str) -> float | None:
    text = params.get(name, "")
    try:
        return moment(text) if text else None
    except ValueError as error:
        raise bad_request(f"{name} {text!r} is not an RFC 3339 time") from error


def _limit(params: Params, most: int) -> int:
    text = params.get("limit", str(most))
    if not text.isdecimal():
        raise bad_request(f"limit {text!r} is not a number")
    return min(int(text), most) or most
