"""Where the paper venue's prices come from: a seeded random walk, or recorded candles.

Both are functions of the tick number and the seed alone, so a run can be repeated exactly and a
restarted venue continues where it stopped.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import os
import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from tradepulse_runner.errors import ConfigError

SECONDS_PER_YEAR = 365.0 * 86_400.0
START_PRICES = {"BTC-USD": 60_000.0, "ETH-USD": 3_000.0, "EUR-USD": 1.1, "GOOG": 150.0}
# Pull back to the start price per year: a demo that runs for months stays in sensible numbers.
REVERSION_PER_YEAR = 2.0


class PriceSource(Protocol):
    """Mid price of one symbol, tick by tick."""

    @property
    def start(self) -> float:
        """Price at tick 0."""

    def next(self, tick: int, previous: float) -> float:
        """Price at ``tick``, given the price one tick earlier."""


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """Mean-reverting geometric walk; ``volatility`` per sqrt(year), ``dt`` seconds a tick."""

    symbol: str
    seed: int
    volatility: float
    dt: float
    start: float

    def next(self, tick: int, previous: float) -> float:
        years = self.dt / SECONDS_PER_YEAR
        noise = random.Random(f"{self.seed}:{self.symbol}:{tick}").gauss(0.0, 1.0)
        pull = REVERSION_PER_YEAR * years * math.log(self.start / previous)
        return previous * math.exp(pull + self.volatility * math.sqrt(years) * noise)


class RecordedCandles:
    """Recorded open/high/low/close candles, walked open→low→high→close (or high first when the
    candle falls), forwards then backwards for ever, so that the price never jumps."""

    def __init__(self, candles: list[tuple[float, float, float, float]], ticks: int) -> None:
        self._path = [point for candle in candles for point in _corners(candle)]
        self._ticks = max(1, ticks // 4)
        self.start = self._path[0]

    def next(self, tick: int, previous: float) -> float:
        index, inside = divmod(tick, self._ticks)
        here, there = self._at(index), self._at(index + 1)
        return here + (there - here) * inside / self._ticks

    def _at(self, index: int) -> float:
        last = len(self._path) - 1
        index %= 2 * last
        return self._path[index if index <= last else 2 * last - index]


def _corners(candle: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    first, high, low, close = candle
    return (first, low, high, close) if close >= first else (first, high, low, close)


def load_candles(path: Path) -> list[tuple[float, float, float, float]]:
    """Rows with Open, High, Low, Close columns. Raises :class:`ConfigError`."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [
                (float(r["Open"]), float(r["High"]), float(r["Low"]), float(r["Close"]))
                for r in csv.DictReader(handle)
            ]
    except (OSError, KeyError, ValueError, TypeError) as exc:
        raise ConfigError(f"{path}: not a candle file with Open,High,Low,Close: {exc}") from exc
    if len(rows) < 2:
        raise ConfigError(f"{path}: needs at least two candles, has {len(rows)}")
    return rows


def find_recorded(symbol: str, configured: Path | None) -> Path:
    """The candle file of ``symbol``: ``configured`` (file or directory), then the directory in
    ``TRADEPULSE_PRICE_DATA``, then the data inside the installed ``backtesting`` package (located
    without importing it: it pulls in pandas and bokeh). Raises :class:`ConfigError`.
    """
    if configured is not None and configured.is_file():
        return configured
    name = symbol.replace("-", "").replace("/", "") + ".csv"
    places = [configured, _environment(), _backtesting()]
    for place in places:
        if place is not None and (place / name).is_file():
            return place / name
    raise ConfigError(
        f"no recorded prices for {symbol}: looked for {name} in {[str(p) for p in places if p]}; "
        "remedy: set the venue's options.data or TRADEPULSE_PRICE_DATA, or options.prices: random"
    )


def _environment() -> Path | None:
    value = os.environ.get("TRADEPULSE_PRICE_DATA")
    return Path(value) if value else None


def _backtesting() -> Path | None:
    spec = importlib.util.find_spec("backtesting")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "test"


def tick_size(price: float) -> Decimal:
    """A realistic price step: about a millionth of the price, a power of ten."""
    return Decimal(1).scaleb(math.floor(math.log10(price)) - 6)
