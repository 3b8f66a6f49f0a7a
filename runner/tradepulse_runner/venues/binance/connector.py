"""The Binance spot venue as the loop sees it.

Why "not found" is a proof after ``outcome_horizon``: Binance looks at ``timestamp`` and
``recvWindow`` twice, the second time right before a request is handed to the matching engine
(``rest-api.md``, "Timing security": "serverTime - timestamp <= recvWindow ... forward request to
Matching Engine ... else reject request"). So an order that was signed at server time *t* can be
accepted until *t + recvWindow*, and never after. Here, *t* is known within the measured
uncertainty of the server's clock, and signing comes right after the intent was journalled. What
remains (the way from the matching engine into the data that queries read, a step of the server's
clock of less than the second that Binance tolerates, a second signature within
:data:`~tradepulse_runner.venues.binance.rest.RESEND_WITHIN`) is what ``clock_margin`` is for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

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
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueDisconnected,
)
from tradepulse_runner.venues.base import Permit, always
from tradepulse_runner.venues.binance.limits import DEFAULT_LIMIT
from tradepulse_runner.venues.binance.market_stream import MarketStream
from tradepulse_runner.venues.binance.options import BinanceOptions, parse_options, shared_base
from tradepulse_runner.venues.binance.rest import Call, Rest
from tradepulse_runner.venues.binance.trades import Owners, TradeReader
from tradepulse_runner.venues.binance.user_stream import UserStream
from tradepulse_runner.venues.binance.wire import (
    Fees,
    Malformed,
    Market,
    markets_from,
    order_from,
    order_params,
    positions_from,
    weight_limit_from,
)
from tradepulse_runner.venues.http import together
from tradepulse_runner.venues.streaming import StreamingConnector, Worker

log = logging.getLogger(__name__)
#: Seconds between two measurements of the server's clock.
MEASURE_EVERY = 60.0
ORDER = "/api/v3/order"


class BinanceConnector(StreamingConnector):
    """Implements :class:`~tradepulse_runner.venues.base.ExecutionConnector`.

    ``clock`` gives unix seconds; ``permit``: asked right before an order or cancel leaves.
    """

    def __init__(
        self,
        venue: VenueConfig,
        options: BinanceOptions,
        store: CredentialStore,
        *,
        clock: Callable[[], float],
        permit: Permit = always,
    ) -> None:
        super().__init__(venue.name, venue.symbols)
        rest_url, self._ws_api_url, self._stream_url = options.urls(sandbox=venue.sandbox)
        self._rest = Rest(
            self.name, rest_url, store, recv_window=options.recv_window, permit=permit
        )
        self._window = options.recv_window / 1000 + options.clock_margin
        self._clock = clock
        self._owners = Owners()
        self._reader = TradeReader(self._rest, self._owners, self.symbols)
        self._markets: dict[str, Market] = {}
        self._quotes: dict[str, Quote] = {}
        self._user: UserStream | None = None

    # -- life ------------------------------------------------------------------------------

    async def _open(self) -> Iterable[Worker]:
        self._rest.open()
        await self._rest.measure()
        market = MarketStream(
            self.name, self._rest, self._stream_url, self.symbols, self._quotes, self._clock
        )
        await together((self._load_markets(), market.read()))
        user = UserStream(
            self.name,
            self._rest,
            self._ws_api_url,
            self._owners,
            self._reader.fees,
            emit=self._emit,
            lost=self._lose,
        )
        await user.start()
        self._user = user
        return user.run(), market.run(), market.refresh(), self._keep_time()

    async def _close(self) -> None:
        self._user = None
        await self._rest.close()

    async def _load_markets(self) -> None:
        names = json.dumps(sorted(self.symbols), separators=(",", ":"))
        info = await self._rest.public("/api/v3/exchangeInfo", {"symbols": names}, 20)
        markets = markets_from(info)
        for symbol in sorted(self.symbols):
            if symbol not in markets:
                raise ConfigError(f"venues.{self.name}.symbols: {symbol}: unknown to Binance")
        self._markets = {symbol: markets[symbol] for symbol in sorted(self.symbols)}
        self._require_own_assets()
        self._reader.fees = Fees(self._markets.values())
        self._rest.limits.limit = weight_limit_from(info, DEFAULT_LIMIT)

    def _require_own_assets(self) -> None:
        field = f"venues.{self.name}.symbols"
        for one, other in combinations(self._markets.values(), 2):
            shared = {one.base} & {other.base, other.quote} or {one.quote} & {other.base}
            if shared:
                raise ConfigError(shared_base(field, shared.pop(), one.symbol, other.symbol))

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_EVERY)
            try:
                await self._rest.measure()
            except OrderError as error:
                log.info("venue.time_unread", extra={"venue": self.name, "why": str(error)})

    @property
    def outcome_horizon(self) -> float:
        """Seconds; see the top of this module."""
        return self._window + self._rest.clock.worst

    @property
    def banned_for(self) -> float:
        return self._rest.limits.silence.left

    # -- orders ----------------------------------------------------------------------------

    async def place_order(self, order: Order, idempotency_key: str) -> VenueOrder:
        market = self._markets.get(order.symbol)
        if market is None:
            raise OrderRejected(f"{self.name}: {order.symbol}: not a symbol of this venue")
        if market.status != "TRADING":
            raise OrderRejected(f"{self.name}: {order.symbol} is {market.status}, not TRADING")
        params = order_params(order, idempotency_key)
        answer = await self._rest.signed(
            Call("POST", ORDER, params, weight=1, urgent=True, decides=True)
        )
        return self._known(order_from(answer))

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        for _ in range(2):
            try:
                return await self._cancel(ref)
            except OrderNotFound:
                # Closed, or not there yet. A query decides, by an id that was never used twice.
                order = await self._fetch(ref, urgent=True)
                if order.status.terminal:
                    return order
        raise OutcomeUnknown(f"{self.name}: {ref.client_id} is open, but cannot be cancelled")

    async def _cancel(self, ref: OrderRef) -> VenueOrder:
        # "The performance for canceling an order is always better when only orderId is sent."
        key = {"orderId": ref.venue_id} if ref.venue_id else {"origClientOrderId": ref.client_id}
        params = {"symbol": ref.symbol, **key}
        call = Call("DELETE", ORDER, params, weight=1, urgent=True)
        return self._known(order_from(await self._rest.signed(call)))

    async def fetch_order(self, ref: OrderRef) -> VenueOrder:
        return await self._fetch(ref, urgent=False)

    async def _fetch(self, ref: OrderRef, *, urgent: bool) -> VenueOrder:
        # By client id: of several orders of one id this returns the newest, but ours never repeat.
        params = {"symbol": ref.symbol, "origClientOrderId": ref.client_id}
        answer = await self._rest.signed(Call("GET", ORDER, params, weight=4, urgent=urgent))
        return self._known(order_from(answer))

    async def open_orders(self) -> list[VenueOrder]:
        # Without a symbol it costs 80, with one 6; and another symbol may have one of ours from
        # before it was taken out of the configuration: those are asked for one by one.
        if len(self.symbols) > 80 // 6:
            answers = [await self._open_orders({}, 80)]
        else:
            answers = await together(
                self._open_orders({"symbol": symbol}, 6) for symbol in sorted(self.symbols)
            )
        return [self._known(order_from(raw)) for answer in answers for raw in answer]

    async def _open_orders(self, params: dict[str, str], weight: int) -> list[Any]:
        answer = await self._rest.signed(Call("GET", "/api/v3/openOrders", params, weight))
        if not isinstance(answer, list):
            raise Malformed(f"unexpected open orders: {str(answer)[:200]}")
        return answer

    def _known(self, order: VenueOrder) -> VenueOrder:
        self._owners.remember(order)
        return order

    # -- account and market ----------------------------------------------------------------

    async def get_positions(self) -> Positions:
        params = {"omitZeroBalances": "true"}
        answer = await self._rest.signed(Call("GET", "/api/v3/account", params, weight=20))
        return positions_from(answer, self._markets)

    async def trades_since(self, cursor: str | None) -> TradePage:
        page = await self._reader.since(cursor)
        if self._user is not None:
            self._user.compare(page.trades)
        return page

    def quote(self, symbol: str) -> Quote | None:
        return self._quotes.get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Raises :class:`VenueDisconnected` before the first connection."""
        market = self._markets.get(symbol)
        if market is None:
            raise VenueDisconnected(f"{self.name}: {symbol} is not known before connecting")
        return market.instrument


def build_binance(
    venue: VenueConfig,
    store: CredentialStore,
    *,
    source: str,
    clock: Callable[[], float],
    permit: Permit = always,
) -> BinanceConnector:
    """Binance venue from its configuration. Raises :class:`ConfigError`."""
    options = parse_options(venue, source=source)
    return BinanceConnector(venue, options, store, clock=clock, permit=permit)
