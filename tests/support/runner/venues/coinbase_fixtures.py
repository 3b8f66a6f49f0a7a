"""The Coinbase connector before a Coinbase venue on the loopback."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import KeyPair, make_ed25519
from tests.support.venues.exchange import NewOrder, OrderView
from tests.support.venues.exchange import Side as VenueSide
from tradepulse_runner.config.runner import VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, OrderType, Side, VenueEvent
from tradepulse_runner.venues.coinbase.connector import CoinbaseConnector, build_coinbase

SYMBOL = "BTC-USD"
_numbers = itertools.count(1)


class Bench:
    """A venue that does nothing by itself (49990 bid, 50010 asked, a bitcoin each), a connector,
    and what its streams said."""

    def __init__(self, venue: CoinbaseVenue, connector: CoinbaseConnector) -> None:
        self.venue, self.connector = venue, connector
        self.heard: list[VenueEvent] = []
        self._by_hand = itertools.count(1)
        connector.listen(self.heard.append)

    def meet(self, side: VenueSide, quantity: str, price: str) -> OrderView:
        """Somebody else's limit order; trades when it meets one."""
        request = NewOrder(
            symbol=SYMBOL,
            side=side,
            client_id=f"other-{next(_numbers)}",
            quantity=Decimal(quantity),
            price=Decimal(price),
        )
        return self.venue.exchange.place("other", request)

    def place(self, quantity: str, client_id: str, *, price: str) -> OrderView:
        """An order to buy of our account that the connector knows nothing of."""
        order = NewOrder(
            symbol=SYMBOL,
            side=VenueSide.BUY,
            client_id=client_id,
            quantity=Decimal(quantity),
            price=Decimal(price),
        )
        return self.venue.exchange.place("runner", order)

    def by_hand(self, configuration: dict[str, Any]) -> None:
        """Somebody buys on our account."""
        made = next(self._by_hand)
        body = {
            "client_order_id": f"by-hand-{made}",
            "product_id": SYMBOL,
            "side": "BUY",
            "order_configuration": configuration,
        }
        answer = self.venue._brokerage.create("runner", body)
        assert answer["success"], answer

    def mine(self) -> list[OrderView]:
        """Our open orders, as the exchange has them."""
        return self.venue.exchange.open_orders("runner")

    def posts(self, path: str = "/api/v3/brokerage/orders") -> int:
        """How many POSTs of that path reached the venue."""
        return sum(r.method == "POST" and r.path == path for r in self.venue.requests)


def store(pair: KeyPair, **more: str) -> CredentialStore:
    names = {"COINBASE_API_KEY": pair.name, "COINBASE_API_SECRET": pair.secret, **more}
    return CredentialStore.open("coinbase", None, names)


def options(venue: CoinbaseVenue, **more: Any) -> dict[str, Any]:
    return {
        "rest_url": venue.rest_url,
        "ws_url": venue.ws_url,
        "ws_user_url": venue.ws_user_url,
        **more,
    }


def build(
    venue: CoinbaseVenue,
    credentials: CredentialStore,
    *,
    permit: Callable[[], str] = lambda: "",
    **more: Any,
) -> CoinbaseConnector:
    config = VenueConfig(
        name="cb", connector="coinbase", symbols=[SYMBOL], options=options(venue, **more)
    )
    return build_coinbase(config, credentials, source="f.yaml", clock=time.time, permit=permit)


@contextlib.asynccontextmanager
async def quiet_venue(
    pair: KeyPair, *, rate: int | None = None, **more: Any
) -> AsyncIterator[CoinbaseVenue]:
    async with CoinbaseVenue(private_rate=rate, **more) as venue:
        venue.crowd.withdraw(SYMBOL)
        venue.add_key(pair.name, pair.public_key_pem)
        for account in ("runner", "other"):
            venue.exchange.deposit(account, "USD", Decimal(100_000))
            venue.exchange.deposit(account, "BTC", Decimal(2 if account == "runner" else 9))
        yield venue


@contextlib.asynccontextmanager
async def bench(*, rate: int | None = None, **more: Any) -> AsyncIterator[Bench]:
    """A connected bench; ``rate``: requests a second that it allows, ``more`` are the connector's
    options."""
    pair = make_ed25519()
    async with quiet_venue(pair, rate=rate) as venue:
        connector = build(venue, store(pair), **more)
        made = Bench(venue, connector)
        made.meet(VenueSide.BUY, "1", "49990")
        made.meet(VenueSide.SELL, "1", "50010")
        try:
            await connector.connect()
            yield made
        finally:
            await connector.disconnect()


def buy(price: str = "49995", quantity: str = "0.1") -> Order:
    return Order(SYMBOL, Side.BUY, Decimal(quantity), price=Decimal(price))


def sell(price: str = "50005", quantity: str = "0.1") -> Order:
    return Order(SYMBOL, Side.SELL, Decimal(quantity), price=Decimal(price))


def market(side: Side, quantity: str = "0.1") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), OrderType.MARKET)
