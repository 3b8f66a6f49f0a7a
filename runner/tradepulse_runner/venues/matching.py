"""A limit order book and its matching: price-time priority, partial fills, self-trade prevention.

Pure, no clock, no I/O, and independent of the runner: the paper venue trades by it, and so do the
venues that the tests simulate. What an incoming order would do is decided before anything is
changed: does it cost more than there is, is it all or nothing, would a post-only order take. Only
then does the caller apply the :class:`Plan`.

A side is whether it ``buys``. Prices are quote units per base unit, quantities base units.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

ZERO = Decimal(0)


class SelfTrade(StrEnum):
    """What happens when an incoming order meets an order of its own account."""

    NONE = "NONE"  # they trade
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class RestingOrder(Protocol):
    """What a book asks of an order in it. The lower ``id`` is the older order."""

    @property
    def id(self) -> int: ...
    @property
    def account(self) -> str: ...
    @property
    def buys(self) -> bool: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def remaining(self) -> Decimal: ...


O = TypeVar("O", bound=RestingOrder)  # noqa: E741


class _Levels(Generic[O]):
    """One side of a book."""

    def __init__(self, *, descending: bool) -> None:
        self._descending = descending
        self._levels: dict[Decimal, list[O]] = {}
        self._keys: list[Decimal] = []  # ascending: the best is first; bids are negated

    def _key(self, price: Decimal) -> Decimal:
        return -price if self._descending else price

    def add(self, price: Decimal, order: O) -> None:
        level = self._levels.get(price)
        if level is None:
            level = self._levels[price] = []
            insort(self._keys, self._key(price))
        insort(level, order, key=_age)

    def remove(self, price: Decimal, order: O) -> None:
        level = self._levels[price]
        at = bisect_left(level, order.id, key=_age)
        if at == len(level) or level[at].id != order.id:
            raise KeyError(order.id)
        del level[at]
        if not level:
            del self._levels[price]
            del self._keys[bisect_left(self._keys, self._key(price))]

    def prices(self) -> Iterator[Decimal]:
        return (abs(key) for key in self._keys)

    def orders(self) -> Iterator[tuple[Decimal, O]]:
        """In the order in which they trade."""
        for price in self.prices():
            for order in self._levels[price]:
                yield price, order

    def quantity(self, price: Decimal) -> Decimal:
        return sum((order.remaining for order in self._levels.get(price, ())), ZERO)


def _age(order: RestingOrder) -> int:
    return order.id


class Book(Generic[O]):
    """One market's resting orders, best price first, oldest first within a price."""

    def __init__(self) -> None:
        self._sides = {buys: _Levels[O](descending=buys) for buys in (True, False)}

    def add(self, order: O) -> None:
        assert order.price is not None, "only limit orders rest"
        self._sides[order.buys].add(order.price, order)

    def remove(self, order: O) -> None:
        """Take out the order of this side, price and id. Raises KeyError when it isn't there."""
        assert order.price is not None, "only limit orders rest"
        self._sides[order.buys].remove(order.price, order)

    def orders(self, *, buys: bool) -> Iterator[tuple[Decimal, O]]:
        """(price, order) of one side, in the order in which they trade."""
        return self._sides[buys].orders()

    def best(self, *, buys: bool) -> Decimal | None:
        """Best price of one side."""
        return next(self._sides[buys].prices(), None)

    def quantity(self, price: Decimal, *, buys: bool) -> Decimal:
        """What rests at one price."""
        return self._sides[buys].quantity(price)

    def depth(self, limit: int, *, buys: bool) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity), best first, at most ``limit`` of them."""
        levels = self._sides[buys]
        prices = (price for price, _ in zip(levels.prices(), range(limit), strict=False))
        return [(price, levels.quantity(price)) for price in prices]


@dataclass(frozen=True, slots=True)
class Incoming:
    """An order that arrives. Exactly one of ``quantity`` and ``quote_quantity`` (how much to spend
    or to raise, in whole ``lot``) is set; without ``price`` it takes any."""

    account: str
    buys: bool
    price: Decimal | None = None
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    lot: Decimal = Decimal(1)
    self_trade: SelfTrade = SelfTrade.NONE


@dataclass(frozen=True, slots=True)
class Match(Generic[O]):
    maker: O
    price: Decimal  # the maker's
    quantity: Decimal


@dataclass(slots=True)
class Plan(Generic[O]):
    """``expired``: makers that self-trade prevention closes. ``taker_expired``: it ends the
    incoming order with what that has by then. ``unmet``: what an order by quote quantity would
    still buy, at the price of its last match, had the book not ended."""

    matches: list[Match[O]] = field(default_factory=list)
    expired: list[O] = field(default_factory=list)
    taker_expired: bool = False
    unmet: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        return sum((match.quantity for match in self.matches), ZERO)

    @property
    def cost(self) -> Decimal:
        return sum((match.price * match.quantity for match in self.matches), ZERO)


def plan(book: Book[O], order: Incoming) -> Plan[O]:
    """What ``order`` meets; trades happen at the resting order's price."""
    result: Plan[O] = Plan()
    wanted = _Demand(order)
    for price, maker in book.orders(buys=not order.buys):
        quantity = min(wanted.at(price), maker.remaining)
        if quantity <= 0 or not _acceptable(order, price):
            break
        if maker.account == order.account and order.self_trade is not SelfTrade.NONE:
            if _prevent(result, maker, order.self_trade):
                break
            continue
        result.matches.append(Match(maker, price, quantity))
        wanted.reduce(price, quantity)
    else:  # the book ended before the order did
        if order.quantity is None and result.matches:
            result.unmet = wanted.at(result.matches[-1].price)
    return result


def _acceptable(order: Incoming, price: Decimal) -> bool:
    if order.price is None:
        return True
    return price <= order.price if order.buys else price >= order.price


def _prevent(result: Plan[O], maker: O, mode: SelfTrade) -> bool:
    """Note who expires; True when the incoming order does."""
    if mode in (SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH):
        result.expired.append(maker)
    result.taker_expired = mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH)
    return result.taker_expired


class _Demand:
    """How much more an order wants, whether it counts in base or in quote units."""

    def __init__(self, order: Incoming) -> None:
        self._base = order.quantity
        self._quote = order.quote_quantity or ZERO
        self._lot = order.lot

    def at(self, price: Decimal) -> Decimal:
        if self._base is not None:
            return self._base
        return (self._quote / price / self._lot).to_integral_value(ROUND_DOWN) * self._lot

    def reduce(self, price: Decimal, quantity: Decimal) -> None:
        if self._base is not None:
            self._base -= quantity
        else:
            self._quote -= price * quantity
