"""Several who hear of the journals, where the order book knows one."""

from __future__ import annotations

from typing import Any

from tradepulse_runner.oms.book import Recorder
from tradepulse_runner.oms.state import OrderRecord


class _Both:
    """``first``, then ``second``; none of them raises."""

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


def together(first: Recorder | None, second: Recorder) -> Recorder:
    """Both of them, or the one that there is."""
    return _Both(first, second) if first else second
