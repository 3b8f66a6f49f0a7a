"""The venues that a runner is killed at, and what they know."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from tests.chaos.plan import Case
from tests.chaos.simulators import Binance, Coinbase
from tests.chaos.venue_state import OrderAtVenue, VenueState
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.domain import OrderType, Side
from tradepulse_runner.venues.base import ExecutionConnector
from tradepulse_runner.venues.paper import PaperConnector, PaperOptions


class ChaosVenue(Protocol):
    """One venue for one case, alive as long as the case. ``pid``: of its process, if it has one of
    its own."""

    name: str
    pid: int | None

    def start(self, case: Case, folder: Path) -> None:
        """Open for business."""

    def connector(self, clock: Callable[[], float]) -> ExecutionConnector:
        """A connection, for one life of a runner; called in the runner's process."""

    def misbehave(self, case: Case, life: int) -> None:
        """Prepare the faults of a life that is to meet some."""

    def behave(self) -> None:
        """Forget all faults."""

    def venue_state(self) -> VenueState:
        """Everything it knows, while no runner lives."""

    def stop(self) -> None:
        """Close."""


class PaperVenue:
    """The paper venue lives inside the runner's process, its book in SQLite outlives it."""

    name = "paper"
    symbol = "BTC-USD"
    pid: int | None = None

    def start(self, case: Case, folder: Path) -> None:
        self._folder, self._seed = folder / "venue", case.seed

    def connector(self, clock: Callable[[], float]) -> ExecutionConnector:
        options = {"seed": self._seed, "tick_interval": 0.02, "latency": 0.0005}
        venue = VenueConfig(name=self.name, connector="paper", symbols=[self.symbol])
        made = PaperConnector(
            venue, PaperOptions.model_validate(options), self._folder, clock=time.time
        )
        made.outcome_horizon = 0.25
        return made

    def misbehave(self, case: Case, life: int) -> None:
        """Its faults are made around the connector: there is no network between."""

    def behave(self) -> None:
        """As above."""

    def venue_state(self) -> VenueState:
        path = self._folder / f"{self.name}.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            orders = database.execute(
                "SELECT client_id, symbol, side, type, price, quantity, filled, status FROM orders"
            ).fetchall()
            trades = database.execute("SELECT id, side, price, quantity FROM trades").fetchall()
            held = database.execute("SELECT symbol, quantity FROM positions").fetchall()
        cash = Decimal(0)
        for _, side, price, quantity in trades:
            cash -= Side(side).sign * Decimal(price) * Decimal(quantity)
        return VenueState(
            tuple(_order(*row) for row in orders),
            frozenset(str(row[0]) for row in trades),
            {symbol: Decimal(quantity) for symbol, quantity in held},
            cash,
        )

    def stop(self) -> None:
        """Nothing runs."""


def _order(
    client_id: str,
    symbol: str,
    side: str,
    kind: str,
    price: str | None,
    quantity: str,
    filled: str,
    status: str,
) -> OrderAtVenue:
    limit = None if price is None else Decimal(price)
    return OrderAtVenue(
        client_id,
        symbol,
        Side(side),
        OrderType(kind),
        limit,
        Decimal(quantity),
        Decimal(filled),
        status,
    )


VENUES: dict[str, Callable[[], ChaosVenue]] = {
    "paper": PaperVenue,
    "binance": Binance,
    "coinbase": Coinbase,
}
