"""Momentum and mean reversion: the same comparison of two averages, read in opposite ways.

A small strategy that trades steadily and exercises the whole order path: mostly passive limit
orders away from the market, every few orders one that crosses the spread and may fill in parts, and
cancels of what has rested longest. It turns round before its position limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Any

from pydantic import Field

from tradepulse_runner.config.runner import Model, Positive
from tradepulse_runner.domain import Order, Side
from tradepulse_runner.strategy.base import Action, Cancel, MarketView, Place

#: One order of so many crosses the spread.
CROSSING = 4


class TrendParameters(Model):
    """``strategy.parameters``. ``order_notional`` in quote currency; ``fast`` and ``slow`` are the
    smoothing factors of the two averages, per decision; ``max_working`` orders rest per symbol;
    ``position_notional`` in quote currency turns it round."""

    orders_per_second: Annotated[float, Field(gt=0, le=100)] = 1.0
    order_notional: Positive = Decimal(200)
    position_notional: Positive = Decimal(4000)
    max_working: Annotated[int, Field(ge=1, le=100)] = 6
    fast: Annotated[float, Field(gt=0, le=1)] = 0.3
    slow: Annotated[float, Field(gt=0, le=1)] = 0.05


class Trend:
    """Follows (``sense`` +1) or fades (-1) the difference of a fast and a slow average."""

    def __init__(self, name: str, parameters: TrendParameters, *, sense: int) -> None:
        self.name = name
        self.period = 1 / parameters.orders_per_second
        self._with = parameters
        self._sense = sense
        self._averages: dict[tuple[str, str], tuple[float, float]] = {}
        self._turn = 0

    def act(self, views: Sequence[MarketView]) -> list[Action]:
        """One order for one symbol, in turn; and a cancel when too many rest."""
        for view in views:
            self._follow(view)
        if not views:
            return []
        self._turn += 1
        view = views[self._turn % len(views)]
        actions: list[Action] = []
        if len(view.working) >= self._with.max_working:
            actions.append(Cancel(view.venue, view.working[0]))
        order = self._order(view)
        if order is not None:
            actions.append(Place(view.venue, order))
        return actions

    def state(self) -> dict[str, Any]:
        """The averages of each symbol, and whose turn it is."""
        averages = {"/".join(key): list(pair) for key, pair in self._averages.items()}
        return {"averages": averages, "turn": self._turn}

    def _follow(self, view: MarketView) -> None:
        mid = float(view.quote.mid)
        fast, slow = self._averages.get((view.venue, view.symbol), (mid, mid))
        self._averages[view.venue, view.symbol] = (
            fast + self._with.fast * (mid - fast),
            slow + self._with.slow * (mid - slow),
        )

    def _side(self, view: MarketView) -> Side:
        value = view.position * view.quote.mid
        if abs(value) >= self._with.position_notional:
            return Side.SELL if value > 0 else Side.BUY
        fast, slow = self._averages[view.venue, view.symbol]
        return Side.BUY if (fast - slow) * self._sense >= 0 else Side.SELL

    def _order(self, view: MarketView) -> Order | None:
        side, steps = self._side(view), view.instrument
        lots = (self._with.order_notional / view.quote.mid / steps.lot).to_integral_value(
            ROUND_DOWN
        )
        if lots <= 0:
            return None
        crosses = self._turn % CROSSING == 0
        near, far = (
            (view.quote.bid, view.quote.ask)
            if side is Side.BUY
            else (view.quote.ask, view.quote.bid)
        )
        away = steps.tick * (self._turn % 3) * side.sign
        price = far if crosses else near - away
        if price <= 0:
            return None
        return Order(view.symbol, side, lots * steps.lot, price=price, algo=self.name)
