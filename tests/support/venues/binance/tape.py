"""What the market's public side remembers: update numbers of books, recent trades."""

from __future__ import annotations

from collections import defaultdict, deque

from tests.support.venues.exchange import BookChanged, Event, Exchange, Traded

_RECENT = 1000


class Tape:
    """``updates[symbol]`` rises with each change of a price level, from 1."""

    def __init__(self, exchange: Exchange) -> None:
        self.updates: dict[str, int] = defaultdict(int)
        self._trades: dict[str, deque[Traded]] = defaultdict(lambda: deque(maxlen=_RECENT))
        exchange.subscribe(self._note)

    def trades(self, symbol: str, limit: int) -> list[Traded]:
        """The newest ones, oldest first."""
        return list(self._trades[symbol])[-limit:]

    def _note(self, event: Event) -> None:
        if isinstance(event, BookChanged):
            self.updates[event.symbol] += 1
        elif isinstance(event, Traded):
            self._trades[event.symbol].append(event)
