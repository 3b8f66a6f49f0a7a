"""What the exchange's tests share: a small market and short ways to trade on it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.support.venues.exchange import (
    Event,
    Exchange,
    FeeFrom,
    Kind,
    Market,
    NewOrder,
    OrderView,
    Reason,
    Refused,
    Side,
)

MARKET = Market(
    symbol="AB",
    base="A",
    quote="B",
    tick=Decimal("0.5"),
    lot=Decimal("0.1"),
    min_quantity=Decimal("0.2"),
    min_notional=Decimal(10),
    max_quantity=Decimal(1000),
    max_price=Decimal(10000),
    max_open_orders=3,
    start_price=Decimal(100),
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Floor:
    """An exchange on which the accounts given have a million of everything."""

    def __init__(
        self, *accounts: str, fee: str = "0", fee_from: FeeFrom = FeeFrom.RECEIVED
    ) -> None:
        self.clock = Clock()
        self.exchange = Exchange([MARKET], clock=self.clock, fee=Decimal(fee), fee_from=fee_from)
        self.events: list[Event] = []
        self._count = 0
        for account in accounts:
            for asset in ("A", "B"):
                self.exchange.deposit(account, asset, Decimal(1000000))
        self.exchange.subscribe(self.events.append)

    def buy(
        self, account: str, quantity: str, price: str | None = None, /, **more: Any
    ) -> OrderView:
        return self._place(Side.BUY, account, quantity, price, more)

    def sell(
        self, account: str, quantity: str, price: str | None = None, /, **more: Any
    ) -> OrderView:
        return self._place(Side.SELL, account, quantity, price, more)

    def _place(
        self, side: Side, account: str, quantity: str, price: str | None, more: dict[str, Any]
    ) -> OrderView:
        self._count += 1
        fields: dict[str, Any] = {
            "symbol": "AB",
            "side": side,
            "client_id": f"c{self._count}",
            "quantity": Decimal(quantity),
            "price": None if price is None else Decimal(price),
            "kind": Kind.MARKET if price is None else Kind.LIMIT,
        }
        return self.exchange.place(account, NewOrder(**{**fields, **more}))

    def again(self, order: OrderView) -> OrderView:
        return self.exchange.order(order.account, order.id)


def refusal(act: Callable[[], object]) -> Reason:
    try:
        act()
    except Refused as refused:
        return refused.reason
    raise AssertionError("it was not refused")
