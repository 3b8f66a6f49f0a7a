"""Two recorders of the journals as one: an order book takes a single recorder."""

from __future__ import annotations

from typing import Any

from tradepulse_runner.oms.book import Recorder
from tradepulse_runner.oms.state import OrderRecord


class _Both:
    """Calls ``first``, then ``second``; neither raises."""

    def __init__(self, first: Recorder, second: Recorder) -> None:
        self._each = (first, second)

    def replayed(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        for each in self._each:
            each.replayed(venue, seq, record, order)

    def opened(self, venue: str, seq: int) -> None:
        for each in self._each:
            each.opened(venue, seq)

    def recorded(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        for each in self._each:
            each.recorded(venue, seq, record, order)


def combine(first: Recorder | None, second: Recorder) -> Recorder:
    """A recorder that calls both; ``second`` alone without a first."""
    return _Both(first, second) if first else second
