"""A seeded strategy whose every decision is written down before it takes effect.

Each decision has a quantity that no other one of the case has, and the quantity is what a venue
keeps under any circumstances: it tells which decision an order at the venue stems from, and
whether a decision was carried out twice, without trusting the runner's own ids.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tradepulse_runner.domain import Order, OrderType, Side
from tradepulse_runner.strategy.base import Action, Cancel, MarketView, Place

#: Quantity of decision 0, in base units; decision n has n lots more.
SMALLEST = Decimal("0.01")
KINDS = ("rest", "rest", "near", "cross", "market", "cancel", "cancel", "bad")


@dataclass(frozen=True)
class Decision:
    """What the strategy wanted, as it was written down."""

    quantity: Decimal
    symbol: str
    side: Side
    type: OrderType
    price: Decimal | None


class Decisions:
    """The file of one case's decisions; it outlives its writers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = len(self.read())

    def note(self, order: Order) -> None:
        row = {
            "quantity": str(order.quantity),
            "symbol": order.symbol,
            "side": order.side,
            "type": order.type,
            "price": None if order.price is None else str(order.price),
        }
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, json.dumps(row).encode() + b"\n")
        os.close(fd)
        self.count += 1

    def read(self) -> list[Decision]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [_decision(json.loads(line)) for line in lines]


def _decision(row: dict[str, Any]) -> Decision:
    price = None if row["price"] is None else Decimal(row["price"])
    side, kind = Side(row["side"]), OrderType(row["type"])
    return Decision(Decimal(row["quantity"]), row["symbol"], side, kind, price)


class Erratic:
    """Places and cancels by chance, ``budget`` times; implements ``Strategy``."""

    def __init__(
        self, decisions: Decisions, chance: random.Random, budget: int, *, period: float
    ) -> None:
        self.period = period
        self.left = budget
        self._decisions, self._chance = decisions, chance

    def act(self, views: Sequence[MarketView]) -> list[Action]:
        actions: list[Action] = []
        for view in views:
            for _ in range(min(self.left, self._chance.choice((1, 1, 2)))):
                self.left -= 1
                actions.append(self._decide(view))
        return actions

    def _decide(self, view: MarketView) -> Action:
        kind = self._chance.choice(KINDS)
        if kind == "cancel" and view.working:
            return Cancel(view.venue, self._chance.choice(view.working))
        order = self._order(view, kind)
        self._decisions.note(order)
        return Place(view.venue, order)

    def _order(self, view: MarketView, kind: str) -> Order:
        steps = view.instrument
        quantity = SMALLEST.quantize(steps.lot) + self._decisions.count * steps.lot
        side = self._side(view, quantity)
        if kind == "market":
            return Order(view.symbol, side, quantity, OrderType.MARKET, algo="chaos")
        away = {"rest": "0.01", "near": "0.00005", "cross": "-0.001"}.get(kind, "0.01")
        price = view.quote.mid * (1 - side.sign * Decimal(away))
        price = (price / steps.tick).quantize(Decimal(1)) * steps.tick
        if kind == "bad":  # between two ticks: the venue refuses it
            price += steps.tick / 4
        return Order(view.symbol, side, quantity, price=price, algo="chaos")

    def _side(self, view: MarketView, quantity: Decimal) -> Side:
        """Sell only what is surely held: spot venues refuse the rest."""
        enough = view.instrument.shortable or view.position > 6 * quantity
        return Side.SELL if enough and self._chance.random() < 0.5 else Side.BUY
