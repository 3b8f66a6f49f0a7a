"""One-minute bars: open, high, low and close of the sampled prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

WIDTH = 60


@dataclass(slots=True)
class _Minute:
    start: int
    prices: tuple[Decimal, Decimal, Decimal, Decimal]  # open, high, low, close
    looks: int = 1


class Bars:
    """Bars by venue and symbol. Times in unix seconds; a minute without a price has no bar."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Minute] = {}

    def add(self, venue: str, symbol: str, price: Decimal, at: float) -> dict[str, Any] | None:
        """Add a sample. Returns the previous minute's bar once ``at`` belongs to a later one."""
        start = int(at // WIDTH) * WIDTH
        minute = self._open.get((venue, symbol))
        if minute is not None and start <= minute.start:
            first, high, low, _ = minute.prices
            minute.prices = (first, max(high, price), min(low, price), price)
            minute.looks += 1
            return None
        self._open[venue, symbol] = _Minute(start, (price,) * 4)
        return _facts(minute) if minute else None


def _facts(minute: _Minute) -> dict[str, Any]:
    names = ("open", "high", "low", "close")
    prices = {name: str(price) for name, price in zip(names, minute.prices, strict=True)}
    return {"start": minute.start, "seconds": WIDTH, "looks": minute.looks, **prices}
