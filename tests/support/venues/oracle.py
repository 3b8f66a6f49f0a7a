"""The exchange's matching against another's, PyPI ``order-matching``, over random operations.

``python -m tests.support.venues.oracle --operations 100000`` prints how many were compared, and the
first difference, if there is one, with the operations that led to it.

After every operation both must have made the same trades: whose orders, at which price, how much,
in which order. Now and then, and at the end, the whole books are compared.

Where the other differs from a venue on purpose, the operation is put to it in its own terms:

- It lets the rest of a market order rest, at an infinite price. Binance and Coinbase expire it
  (``EXPIRED``), and so do we; there, the rest is cancelled right after.
- It has no IOC. Likewise: its limit order's rest is cancelled right after.
- It has no FOK, post-only or self-trade prevention, so these are not compared here.
- It counts in floats. Prices and sizes here are whole numbers, which floats hold exactly.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import click
from loguru import logger
from order_matching.enums import Side as OtherSide
from order_matching.matching_engine import MatchingEngine
from order_matching.order import LimitOrder, MarketOrder
from order_matching.orders import Orders

from tests.support.venues.exchange import (
    Event,
    Exchange,
    Fill,
    Force,
    Kind,
    Market,
    NewOrder,
    OrderChanged,
    OrderView,
    SelfTrade,
    Side,
)

_MARKET = Market(
    symbol="AB",
    base="A",
    quote="B",
    tick=Decimal(1),
    lot=Decimal(1),
    min_quantity=Decimal(1),
    min_notional=Decimal(1),
    max_open_orders=10**6,
    band_up=Decimal(10**6),
    band_down=Decimal(0),
    start_price=Decimal(100),
)
_ACCOUNTS = ("one", "two", "three")
_PLENTY = Decimal(10) ** 12
_CROWDED = 60  # resting orders from which on cancels prevail
_BOOKS_EVERY = 50  # operations


@dataclass(frozen=True, slots=True)
class Operation:
    """``id``: the new order's, or that of the order to cancel (``kind`` "cancel")."""

    kind: str
    id: str
    side: Side = Side.BUY
    price: int = 0
    quantity: int = 0
    account: str = ""


Trade = tuple[str, str, int, int]  # the resting order, the incoming one, price, quantity
Depth = list[tuple[int, int]]


class Difference(AssertionError):
    """What both said to an operation, and the operations before it."""


class Ours:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        for account in _ACCOUNTS:
            for asset in ("A", "B"):
                exchange.deposit(account, asset, _PLENTY)
        self._made: list[Fill] = []  # the makers' sides
        exchange.subscribe(self._note)
        self._placed: dict[str, OrderView] = {}

    def _note(self, event: Event) -> None:
        if isinstance(event, OrderChanged):
            if event.fill is not None and event.fill.maker:
                self._made.append(event.fill)
            if not event.order.status.open:
                self._placed.pop(event.order.client_id, None)

    def carry_out(self, operation: Operation) -> list[Trade]:
        self._made.clear()
        if operation.kind == "cancel":
            order = self._placed[operation.id]
            self._exchange.cancel(order.account, order.id)
            return []
        order = self._exchange.place(operation.account, _request(operation))
        if order.status.open:
            self._placed[operation.id] = order
        return [
            (fill.client_id, operation.id, int(fill.price), int(fill.quantity))
            for fill in self._made
        ]

    def resting(self) -> list[str]:
        """In the order in which they were placed."""
        return list(self._placed)

    def depth(self, side: Side) -> Depth:
        return [(int(p), int(q)) for p, q in self._exchange.depth("AB", side, 10**6)]


def _request(operation: Operation) -> NewOrder:
    market = operation.kind == "market"
    return NewOrder(
        symbol="AB",
        side=operation.side,
        client_id=operation.id,
        quantity=Decimal(operation.quantity),
        price=None if market else Decimal(operation.price),
        kind=Kind.MARKET if market else Kind.LIMIT,
        force=Force.IOC if operation.kind == "ioc" else Force.GTC,
        self_trade=SelfTrade.NONE,
    )


class Other:
    def __init__(self) -> None:
        logger.disable("order_matching")
        self._engine = MatchingEngine(seed=1)
        self._now = datetime(2026, 1, 1)

    def carry_out(self, operation: Operation) -> list[Trade]:
        if operation.kind == "cancel":
            self._engine.cancel_order(operation.id)
            return []
        self._now += timedelta(microseconds=1)
        self._engine.place(Orders([self._order(operation)]))
        trades = [
            (trade.book_order_id, trade.incoming_order_id, int(trade.price), int(trade.size))
            for trade in self._engine.match(timestamp=self._now).trades
        ]
        book = self._engine.unprocessed_orders
        if operation.kind != "limit" and book.find_order_by_id(operation.id) is not None:
            self._engine.cancel_order(operation.id)
        return trades

    def _order(self, operation: Operation) -> LimitOrder | MarketOrder:
        common = {
            "side": OtherSide.BUY if operation.side is Side.BUY else OtherSide.SELL,
            "size": float(operation.quantity),
            "timestamp": self._now,
            "order_id": operation.id,
            "trader_id": operation.account,
        }
        if operation.kind == "market":
            return MarketOrder(**common)
        return LimitOrder(price=float(operation.price), **common)

    def depth(self, side: Side) -> Depth:
        book = self._engine.unprocessed_orders
        levels = book.bids_depth if side is Side.BUY else book.asks_depth
        return [(int(price), int(size)) for price, size in levels]


@dataclass(slots=True)
class Tally:
    operations: int = 0
    trades: int = 0
    books: int = 0


def compare(operations: int, seed: int, exchange: Exchange | None = None) -> Tally:
    """Raises :class:`Difference`."""
    ours, other = Ours(exchange or new_exchange()), Other()
    tally = Tally()
    recent: deque[Operation] = deque(maxlen=5)
    for operation in _operations(operations, seed, ours):
        recent.append(operation)
        made, expected = ours.carry_out(operation), other.carry_out(operation)
        tally.operations += 1
        tally.trades += len(made)
        if made != expected:
            raise Difference(f"{list(recent)}\nours:  {made}\nother: {expected}")
        if tally.operations % _BOOKS_EVERY == 0 or tally.operations == operations:
            _compare_books(ours, other, tally, recent)
    return tally


def _compare_books(ours: Ours, other: Other, tally: Tally, recent: deque[Operation]) -> None:
    tally.books += 1
    for side in Side:
        made, expected = ours.depth(side), other.depth(side)
        if made != expected:
            raise Difference(f"{list(recent)}\nour {side}: {made}\nother: {expected}")


def new_exchange() -> Exchange:
    return Exchange([_MARKET], clock=lambda: 0.0, fee=Decimal(0))


def _operations(count: int, seed: int, ours: Ours) -> Iterator[Operation]:
    """Prices wander, so that books are eaten through and built anew."""
    chance = random.Random(seed)
    middle = 100.0
    for number in range(count):
        middle = min(max(middle + chance.gauss(0, 0.3), 50), 150)
        resting = ours.resting()
        kind = chance.choices(("limit", "market", "ioc", "cancel"), (60, 10, 10, 20))[0]
        if resting and (kind == "cancel" or len(resting) > _CROWDED):
            yield Operation("cancel", chance.choice(resting))
            continue
        yield Operation(
            kind="limit" if kind == "cancel" else kind,
            id=f"o{number}",
            side=chance.choice((Side.BUY, Side.SELL)),
            price=max(1, round(chance.gauss(middle, 4))),
            quantity=chance.randint(1, 20),
            account=chance.choice(_ACCOUNTS),
        )


@click.command(help=__doc__)
@click.option("--operations", default=100000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(operations: int, seed: int) -> None:
    begun = time.monotonic()
    try:
        tally = compare(operations, seed)
    except Difference as difference:
        sys.exit(f"DIFFERENT:\n{difference}")
    click.echo(
        f"{tally.operations} operations, {tally.trades} trades, {tally.books} books compared with"
        f" order-matching: 0 differences ({time.monotonic() - begun:.0f} s)"
    )


if __name__ == "__main__":
    main()
