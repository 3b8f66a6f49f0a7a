"""What an incoming order would do to a book, decided before anything is changed.

A plan can be looked at first: does it cost more than there is, is it all or nothing, would a
post-only order take. Only then is it applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from tests.support.venues.exchange.book import Book, Order
from tests.support.venues.exchange.domain import ZERO, NewOrder, SelfTrade, Side


@dataclass(frozen=True, slots=True)
class Match:
    maker: Order
    price: Decimal  # the maker's
    quantity: Decimal


@dataclass(slots=True)
class Plan:
    """``expired``: makers that self-trade prevention closes. ``taker_expired``: it ends the
    incoming order with what that has by then. ``unmet``: what an order by quote quantity would
    still buy, at the price of its last match, had the book not ended."""

    matches: list[Match] = field(default_factory=list)
    expired: list[Order] = field(default_factory=list)
    taker_expired: bool = False
    unmet: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        return sum((match.quantity for match in self.matches), ZERO)

    @property
    def cost(self) -> Decimal:
        return sum((match.price * match.quantity for match in self.matches), ZERO)


def plan(book: Book, account: str, order: NewOrder, lot: Decimal) -> Plan:
    """Price-time priority; trades happen at the resting order's price."""
    result = Plan()
    wanted = _Appetite(order, lot)
    for price, maker in book.facing(order.side):
        quantity = min(wanted.at(price), maker.remaining)
        if quantity <= 0 or not _acceptable(order, price):
            break
        if maker.account == account and order.self_trade is not SelfTrade.NONE:
            if _prevent(result, maker, order.self_trade):
                break
            continue
        result.matches.append(Match(maker, price, quantity))
        wanted.eat(price, quantity)
    else:  # the book ended before the order did
        if order.quantity is None and result.matches:
            result.unmet = wanted.at(result.matches[-1].price)
    return result


def _acceptable(order: NewOrder, price: Decimal) -> bool:
    if order.price is None:
        return True
    return price <= order.price if order.side is Side.BUY else price >= order.price


def _prevent(result: Plan, maker: Order, mode: SelfTrade) -> bool:
    """Note who expires; True when the incoming order does."""
    if mode in (SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH):
        result.expired.append(maker)
    result.taker_expired = mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH)
    return result.taker_expired


class _Appetite:
    """How much more an order wants, whether it counts in base or in quote units."""

    def __init__(self, order: NewOrder, lot: Decimal) -> None:
        self._base = order.quantity
        self._quote = order.quote_quantity or ZERO
        self._lot = lot

    def at(self, price: Decimal) -> Decimal:
        if self._base is not None:
            return self._base
        return (self._quote / price / self._lot).to_integral_value(ROUND_DOWN) * self._lot

    def eat(self, price: Decimal, quantity: Decimal) -> None:
        if self._base is not None:
            self._base -= quantity
        else:
            self._quote -= price * quantity
