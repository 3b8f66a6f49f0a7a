"""A limit order book with price-time priority and partial fills; pure, no clock, no I/O."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from decimal import Decimal

from tradepulse_runner.domain import Side


@dataclass(slots=True)
class Resting:
    """An order in the book. ``owner`` empty: another participant's liquidity."""

    order_id: int
    side: Side
    price: Decimal
    remaining: Decimal
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """``quantity`` traded at the maker's ``price``."""

    maker: Resting
    taker: Resting
    price: Decimal
    quantity: Decimal


class Book:
    """One symbol. Bids and asks are sorted best first; equal prices by ``order_id``."""

    def __init__(self) -> None:
        self._sides: dict[Side, list[Resting]] = {Side.BUY: [], Side.SELL: []}
        self._by_id: dict[int, Resting] = {}

    def best(self, side: Side) -> Decimal | None:
        """Best price resting on ``side``."""
        orders = self._sides[side]
        return orders[0].price if orders else None

    def resting(self, order_id: int) -> Resting | None:
        return self._by_id.get(order_id)

    def cancel(self, order_id: int) -> Resting | None:
        """Take an order out; None if it does not rest here."""
        found = self._by_id.pop(order_id, None)
        if found is not None:
            self._sides[found.side].remove(found)
        return found

    def cancel_others(self) -> None:
        """Take out every order without an owner: the market re-quotes."""
        for side, orders in self._sides.items():
            for order in orders:
                if not order.owner:
                    del self._by_id[order.order_id]
            self._sides[side] = [order for order in orders if order.owner]

    def match(self, taker: Resting, *, limit: bool = True) -> tuple[list[Execution], bool]:
        """Trade ``taker`` against the other side, best price and oldest first.

        ``limit=False`` ignores the taker's price (market order). The second value is True when
        matching stopped before an order of the same owner (self-trade prevention: the rest of
        the taker expires).
        """
        orders = self._sides[taker.side.opposite]
        done: list[Execution] = []
        while taker.remaining > 0 and orders:
            maker = orders[0]
            if limit and (maker.price - taker.price) * taker.side.sign > 0:
                break
            if taker.owner and maker.owner == taker.owner:
                return done, True
            quantity = min(maker.remaining, taker.remaining)
            maker.remaining -= quantity
            taker.remaining -= quantity
            done.append(Execution(maker, taker, maker.price, quantity))
            if maker.remaining == 0:
                del self._by_id[maker.order_id]
                orders.pop(0)
        return done, False

    def rest(self, order: Resting) -> None:
        """Put what is left of ``order`` into the book, behind equal prices."""
        bisect.insort(self._sides[order.side], order, key=_priority)
        self._by_id[order.order_id] = order


def _priority(order: Resting) -> tuple[Decimal, int]:
    return (-order.price if order.side is Side.BUY else order.price, order.order_id)
