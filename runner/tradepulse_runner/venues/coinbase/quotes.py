"""Best bid and ask of each symbol: from the market stream, and by asking where it is quiet.

The ticker sends when something trades, so a quiet product has no news for a while; and the stream
may be down. Whatever is older than :data:`FRESH` is asked for (``best_bid_ask``). A quote is only
ever replaced by a later one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping

from tradepulse_runner.domain import Quote
from tradepulse_runner.errors import OrderError
from tradepulse_runner.venues.coinbase.feed import Feed, FeedLost
from tradepulse_runner.venues.coinbase.market import Product, book_quotes, ticker_quotes
from tradepulse_runner.venues.coinbase.rest import Rest
from tradepulse_runner.venues.coinbase.wire import Json, items, microseconds

log = logging.getLogger(__name__)
#: Seconds after which a quote is asked for, and between two looks at their age.
FRESH = 2.0
LOOK_EVERY = 0.5
MAX_BACKOFF = 30.0


class Quotes:
    """The quotes of ``products``. ``clock`` gives unix seconds."""

    def __init__(
        self,
        name: str,
        rest: Rest,
        url: str,
        products: Mapping[str, Product],
        *,
        silence: float,
        clock: Callable[[], float],
    ) -> None:
        self._name, self._rest, self._url = name, rest, url
        self._silence, self._clock = silence, clock
        self._symbols: dict[str, list[str]] = {}
        for product in products.values():
            for listed in {product.symbol, product.alias} - {""}:
                self._symbols.setdefault(listed, []).append(product.symbol)
        self._wanted = sorted(products)
        self._latest: dict[str, Quote] = {}

    def latest(self, symbol: str) -> Quote | None:
        return self._latest.get(symbol)

    async def ask(self, symbols: Iterable[str]) -> None:
        """Read quotes by REST. Raises :class:`OrderError`."""
        params = [("product_ids", symbol) for symbol in symbols]
        answer = await self._rest.get("/best_bid_ask", params)
        self._take(book_quotes(answer, self._clock()))

    async def keep_fresh(self) -> None:
        """Worker: read the quotes that the stream has not updated of late."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            since = self._clock() - FRESH
            old = [s for s in self._wanted if not self._is_fresh(s, since)]
            if old:
                try:
                    await self.ask(old)
                except OrderError as error:
                    details = {"venue": self._name, "symbols": old, "why": str(error)}
                    log.info("venue.quotes_unread", extra=details)
                    await asyncio.sleep(FRESH)

    async def listen(self) -> None:
        """Worker: the market stream, dialled again for ever. Quotes prove nothing about
        orders, so its loss isn't reported to the loop."""
        attempt = 0
        while True:
            feed = Feed(
                f"{self._name}-market",
                self._rest,
                self._url,
                ("heartbeats", "ticker"),
                self._wanted,
                self._process,
                self._silence,
                signed=False,
            )
            try:
                await feed.open()
                attempt = 0
                await feed.run()
            except OrderError as error:
                attempt += 1
                delay = min(MAX_BACKOFF, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)
                details = {"stream": feed.name, "why": str(error)}
                log.warning("stream.lost", extra=details)
                await asyncio.sleep(delay)
            finally:
                await feed.close()

    def _is_fresh(self, symbol: str, since: float) -> bool:
        quote = self._latest.get(symbol)
        return quote is not None and quote.timestamp >= since

    def _process(self, message: Json) -> None:
        if message.get("channel") not in ("ticker", "ticker_batch"):
            return
        try:
            # By the venue's own time: what waited on its way, or in our queue, is that much older.
            age = self._rest.clock.now() - microseconds(message, "timestamp") / 1e6
            sent_at = self._clock() - max(0.0, age)
            for event in items(message, "events"):
                self._take(ticker_quotes(event, sent_at))
        except OrderError as error:
            raise FeedLost(f"{self._name}-market: {error}") from error

    def _take(self, quotes: Iterable[tuple[str, Quote]]) -> None:
        for product, quote in quotes:
            for symbol in self._symbols.get(product, ()):
                before = self._latest.get(symbol)
                if before is None or quote.timestamp >= before.timestamp:
                    self._latest[symbol] = quote
