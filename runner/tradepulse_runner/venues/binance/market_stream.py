"""Best bid and ask: from the stream, and from REST while the stream is silent.

``web-socket-streams.md``, "Individual Symbol Book Ticker Streams". A quiet market sends nothing,
and so does a stream that stalled: only a REST read distinguishes the two.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tradepulse_runner.domain import Quote
from tradepulse_runner.errors import OrderError
from tradepulse_runner.venues.binance.rest import Rest
from tradepulse_runner.venues.binance.sockets import Socket, Stream, open_socket
from tradepulse_runner.venues.binance.wire import Malformed, book_ticker_from, ticker_from

log = logging.getLogger(__name__)
#: Seconds without an update after which a symbol is read by REST.
STALE = 2.0
#: Price moves in a row that only REST had, after which the stream is reconnected.
MAX_MISSED_MOVES = 5


class MarketStream(Stream):
    """Keeps ``quotes`` by symbol. ``clock`` gives unix seconds: when a quote was received or
    read."""

    def __init__(
        self,
        name: str,
        rest: Rest,
        url: str,
        symbols: Iterable[str],
        quotes: dict[str, Quote],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(
            f"{name}-market", self._dial_market, self._process, self._forget_updates, forever=True
        )
        self._rest, self._clock = rest, clock
        self._symbols = sorted(symbols)
        names = "/".join(f"{symbol.lower()}@bookTicker" for symbol in self._symbols)
        self._url = f"{url}/stream?streams={names}"
        self.quotes = quotes
        self._last_update: dict[str, int] = {}
        self._missed_moves = 0

    async def read(self, symbols: Iterable[str] | None = None) -> None:
        """Read the quotes (of all symbols) by REST. Raises :class:`OrderError`."""
        wanted = self._symbols if symbols is None else list(symbols)
        names = json.dumps(wanted, separators=(",", ":"))
        answer = await self._rest.public("/api/v3/ticker/bookTicker", {"symbols": names}, 4)
        if not isinstance(answer, list):
            raise Malformed(f"unexpected book ticker: {str(answer)[:200]}")
        for raw in answer:
            symbol, quote = ticker_from(raw, self._clock())
            before = self.quotes.get(symbol)
            self._set(symbol, quote)
            moved = before and quote and (before.bid, before.ask) != (quote.bid, quote.ask)
            self._missed_moves += bool(moved)
        if self._missed_moves >= MAX_MISSED_MOVES and self.open:
            self._missed_moves = 0
            self.renew("prices move without it")

    async def refresh(self) -> None:
        """Worker: reads by REST what the stream has not updated for :data:`STALE` seconds."""
        while True:
            await asyncio.sleep(STALE / 4)
            if stale := self.stale():
                try:
                    await self.read(stale)
                except OrderError as error:
                    details = {"stream": self.name, "why": str(error)}
                    log.info("stream.quotes_unread", extra=details)
                    await asyncio.sleep(STALE)

    def stale(self) -> list[str]:
        oldest = self._clock() - STALE
        quotes = self.quotes
        return [s for s in self._symbols if s not in quotes or quotes[s].timestamp < oldest]

    def _set(self, symbol: str, quote: Quote | None) -> None:
        if quote is None:
            self.quotes.pop(symbol, None)
        else:
            self.quotes[symbol] = quote

    async def _dial_market(self) -> Socket:
        return await open_socket(self._rest, self._url)

    def _forget_updates(self, reason: str) -> None:
        """REST takes over until the stream is back: no reason to stop trading."""
        self._last_update.clear()

    def _process(self, message: Any) -> None:
        data = message.get("data") if isinstance(message, dict) else None
        if not isinstance(data, dict):
            return
        if data.get("e") == "serverShutdown":
            self.renew("the server announced its shutdown")
        elif "u" in data:
            symbol, update, quote = book_ticker_from(data, self._clock())
            # While one connection takes over from another, both send.
            if update >= self._last_update.get(symbol, update):
                self._last_update[symbol] = update
                self._missed_moves = 0
                self._set(symbol, quote)
