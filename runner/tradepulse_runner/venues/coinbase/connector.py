"""The Coinbase spot venue as the loop sees it.

What "not found" proves after ``outcome_horizon``, and how far. Coinbase has no recvWindow, but
every request carries a token that expires ``token_lifetime`` after it was signed: one that comes
later is refused (401). What is *not* documented is that a request which came in time can't wait
behind the door, in a queue before the matching engine: ``fence_margin`` is a guess there, not a
proof, and the fence is weaker than Binance's for it. It fails safe: an order that shows up
nevertheless, open or as a fill, is taken up again by the next poll. (Decision 0008.)

Coinbase finds orders by its own id only. An order whose answer was lost is searched in the list of
orders, from shortly before it was sent, by our client id. Sending it again would show that as well
(a repeated client id "will not be created and the order corresponding with that ID will be returned
instead"), but would make the order if it isn't there: it is never done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import (
    Instrument,
    Order,
    OrderRef,
    Positions,
    Quote,
    TradePage,
    VenueOrder,
)
from tradepulse_runner.errors import (
    ConfigError,
    OrderError,
    OrderRejected,
    VenueDisconnected,
)
from tradepulse_runner.venues.base import Permit, always
from tradepulse_runner.venues.coinbase.fills import FillReader
from tradepulse_runner.venues.coinbase.known import Known
from tradepulse_runner.venues.coinbase.market import Product, positions_from, product_from
from tradepulse_runner.venues.coinbase.options import CoinbaseOptions, parse_options
from tradepulse_runner.venues.coinbase.orders import Orders
from tradepulse_runner.venues.coinbase.quotes import Quotes
from tradepulse_runner.venues.coinbase.rest import Rest
from tradepulse_runner.venues.coinbase.user_stream import UserStream
from tradepulse_runner.venues.http import together
from tradepulse_runner.venues.streaming import StreamingConnector, Worker

log = logging.getLogger(__name__)
#: Seconds between two readings of the venue's clock and of its products.
REFRESH_EVERY = 60.0


class CoinbaseConnector(StreamingConnector):
    """Implements :class:`~tradepulse_runner.venues.base.ExecutionConnector`.

    ``clock`` gives unix seconds; ``permit``: asked right before an order or cancel leaves.
    """

    def __init__(
        self,
        venue: VenueConfig,
        options: CoinbaseOptions,
        store: CredentialStore,
        *,
        clock: Callable[[], float],
        permit: Permit = always,
    ) -> None:
        super().__init__(venue.name, venue.symbols)
        self.outcome_horizon = options.token_lifetime + options.fence_margin
        self._options = options
        self._clock = clock
        self._rest = Rest(
            self.name,
            options.rest_url,
            store,
            token_lifetime=options.token_lifetime,
            permit=permit,
        )
        self._known = Known()
        self._orders = Orders(self.name, self._rest, self._known, clock=clock)
        self._fills = FillReader(self._orders.fills, self._orders.owners)
        self._products: dict[str, Product] = {}
        self._quotes: Quotes | None = None
        self._user: UserStream | None = None

    # -- life ------------------------------------------------------------------------------

    async def _open(self) -> Iterable[Worker]:
        self._rest.open()
        await self._measure()
        await self._load_products()
        options = self._options
        self._quotes = quotes = Quotes(
            self.name,
            self._rest,
            options.ws_url,
            self._products,
            silence=options.silence,
            clock=self._clock,
        )
        self._user = user = UserStream(
            self.name,
            self._rest,
            options.ws_user_url,
            self._known,
            fetch=self._orders.by_venue_id,
            emit=self._emit,
            silence=options.silence,
        )
        await together((quotes.ask(sorted(self.symbols)), user.open()))
        return user.run(), user.complete(), quotes.listen(), quotes.keep_fresh(), self._refresh()

    async def _close(self) -> None:
        user, self._user = self._user, None
        if user is not None:
            await user.close()
        await self._orders.close()
        await self._rest.close()

    async def _measure(self) -> None:
        await self._rest.measure()
        self.outcome_horizon = (
            self._options.token_lifetime + self._options.fence_margin + self._rest.clock.uncertainty
        )

    async def _load_products(self) -> None:
        params = [("product_ids", symbol) for symbol in sorted(self.symbols)]
        listed = [
            product_from(raw) for raw in await self._rest.listed("/products", params, "products")
        ]
        products = {p.symbol: p for p in listed if p.symbol in self.symbols}
        for symbol in sorted(self.symbols - products.keys()):
            raise ConfigError(f"venues.{self.name}.symbols: {symbol}: unknown to Coinbase")
        self._products = products

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            try:
                await self._measure()
                await self._load_products()
            except (OrderError, ConfigError) as error:
                log.info("venue.not_refreshed", extra={"venue": self.name, "why": str(error)})

    # -- orders ----------------------------------------------------------------------------

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        product = self._products.get(order.symbol)
        if product is None:
            raise OrderRejected(f"{self.name}: {order.symbol}: not a symbol of this venue")
        if why := product.refuses(order):
            raise OrderRejected(f"{self.name}: {order.symbol} takes no such order now: {why}")
        return await self._orders.place(order, idempotency_key, streaming=self.streaming)

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        return await self._orders.cancel(ref)

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        return await self._orders.fetch(ref, settled_after=self.outcome_horizon)

    @property
    def banned_for(self) -> float:
        return self._rest.limits.silence.left

    async def open_orders(self) -> list[VenueOrder]:
        return await self._orders.open()

    # -- account and market ----------------------------------------------------------------

    async def get_positions(self) -> Positions:
        accounts = await self._rest.listed("/accounts", [("limit", "250")], "accounts")
        return positions_from(accounts, self._products.values())

    async def trades_since(self, cursor: str | None) -> TradePage:
        return await self._fills.since(cursor)

    def quote(self, symbol: str) -> Quote | None:
        return self._quotes.latest(symbol) if self._quotes else None

    def instrument(self, symbol: str) -> Instrument:
        """Raises :class:`VenueDisconnected` before the first connection."""
        product = self._products.get(symbol)
        if product is None:
            raise VenueDisconnected(f"{self.name}: {symbol} is not known before connecting")
        return product.instrument


def build_coinbase(
    venue: VenueConfig,
    store: CredentialStore,
    *,
    source: str,
    clock: Callable[[], float],
    permit: Permit = always,
) -> CoinbaseConnector:
    """Coinbase venue from its configuration. Raises :class:`ConfigError`."""
    options = parse_options(venue, source=source)
    return CoinbaseConnector(venue, options, store, clock=clock, permit=permit)
