"""One market's resting orders, best price first, oldest first within a price."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tests.support.venues.exchange.domain import ZERO, NewOrder, OrderView, Quote, Side, Status


@dataclass(slots=True, eq=False)
class Order:
    """An order's life at the exchange; what leaves it is :meth:`view`."""

    id: int
    account: str
    request: NewOrder
    quantity: Decimal
    created: float
    updated: float
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    locked: Decimal = ZERO  # of the asset that it spends
    status: Status = Status.NEW

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def side(self) -> Side:
        return self.request.side

    @property
    def price(self) -> Decimal | None:
        return self.request.price

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    def view(self) -> OrderView:
        asked = self.request
        return OrderView(
            id=self.id,
            account=self.account,
            client_id=asked.client_id,
            symbol=asked.symbol,
            side=asked.side,
            kind=asked.kind,
            force=asked.force,
            post_only=asked.post_only,
            self_trade=asked.self_trade,
            price=asked.price,
            quantity=self.quantity,
            quote_quantity=asked.quote_quantity,
            filled=self.filled,
            quote_filled=self.quote_filled,
            status=self.status,
            created=self.created,
            updated=self.updated,
        )


class Levels:
    """One side of a book. Insertion order within a level is time priority."""

    def __init__(self, side: Side) -> None:
        self._descending = side is Side.BUY
        self._levels: dict[Decimal, dict[int, Order]] = {}
        self._keys: list[Decimal] = []  # ascending: the best is first; bids are negated

    def _key(self, price: Decimal) -> Decimal:
        return -price if self._descending else price

    def add(self, price: Decimal, order: Order) -> None:
        level = self._levels.get(price)
        if level is None:
            level = self._levels[price] = {}
            insort(self._keys, self._key(price))
        level[order.id] = order

    def remove(self, price: Decimal, order: Order) -> None:
        level = self._levels[price]
        del level[order.id]
        if not level:
            del self._levels[price]
            del self._keys[bisect_left(self._keys, self._key(price))]

    def prices(self) -> Iterator[Decimal]:
        return (abs(key) for key in self._keys)

    def best(self) -> Decimal | None:
        return abs(self._keys[0]) if self._keys else None

    def orders(self) -> Iterator[tuple[Decimal, Order]]:
        """In the order in which they trade."""
        for price in self.prices():
            for order in self._levels[price].values():
                yield price, order

    def quantity(self, price: Decimal) -> Decimal:
        return sum((order.remaining for order in self._levels.get(price, {}).values()), ZERO)


class Book:
    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._sides = {side: Levels(side) for side in Side}

    def add(self, order: Order) -> None:
        assert order.price is not None, "only limit orders rest"
        self._sides[order.side].add(order.price, order)

    def remove(self, order: Order) -> None:
        assert order.price is not None, "only limit orders rest"
        self._sides[order.side].remove(order.price, order)

    def facing(self, side: Side) -> Iterator[tuple[Decimal, Order]]:
        """The orders that an incoming order of ``side`` meets, in the order in which it does."""
        return self._sides[side.opposite].orders()

    def quantity(self, side: Side, price: Decimal) -> Decimal:
        return self._sides[side].quantity(price)

    def depth(self, side: Side, limit: int) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity), best first, at most ``limit`` of them."""
        levels = self._sides[side]
        prices = (price for price, _ in zip(levels.prices(), range(limit), strict=False))
        return [(price, levels.quantity(price)) for price in prices]

    def quote(self) -> Quote:
        bids, asks = self._sides[Side.BUY], self._sides[Side.SELL]
        bid, ask = bids.best(), asks.best()
        return Quote(
            symbol=self._symbol,
            bid=bid,
            bid_quantity=ZERO if bid is None else bids.quantity(bid),
            ask=ask,
            ask_quantity=ZERO if ask is None else asks.quantity(ask),
        )


def order_of(request: NewOrder, order_id: int, account: str, now: float) -> Order:
    return Order(order_id, account, request, request.quantity or ZERO, now, now)
