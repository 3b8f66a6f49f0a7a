"""An order book on disk with orders in every state."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.runner.runner_fixtures import SYMBOL
from tradepulse_runner.domain import ZERO, Order, OrderStatus, Side, Trade, VenueOrder
from tradepulse_runner.oms.book import Oms


def order(quantity: str = "1", side: Side = Side.BUY, price: str = "100") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), price=Decimal(price), algo="test")


def trade(number: int, quantity: str = "0.25", client: str = "a", price: str = "100.10") -> Trade:
    return Trade(str(number), client, SYMBOL, Side.BUY, Decimal(price), Decimal(quantity), 1.0)


def opened(path: Path, **more: Any) -> Oms:
    oms = Oms(path, "paper", clock=time.time, epoch=1)
    oms.open(**more)
    return oms


async def script(oms: Oms) -> None:
    """Some orders in every state, some fills; a snapshot in the middle."""
    for name in ("filled", "partial", "flying", "queued"):
        oms.queue(name, order())
    for name in ("filled", "partial", "flying"):
        await oms.intend(name)
    oms.book(tuple(trade(n, client="filled") for n in range(4)), "3")
    await oms.save()
    oms.acknowledged(VenueOrder("partial", "2", order(), OrderStatus.OPEN, ZERO))
    oms.book((trade(5, client="partial"),), "5")
    await oms.save()
    oms.start_day("2026-01-02", Decimal("1.23"))
