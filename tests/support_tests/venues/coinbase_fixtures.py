"""What the tests of the Coinbase server share: a quiet market, somebody to trade with, a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import aiohttp
from coinbase.jwt_generator import build_rest_jwt, build_ws_jwt

from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import KeyPair, make_es256
from tests.support.venues.exchange import NewOrder, OrderView, Side

D = Decimal
PRODUCT = "BTC-USD"
PREFIX = "/api/v3/brokerage"
_numbers = count(1)


def other(
    venue: CoinbaseVenue, side: Side, quantity: str, price: str, account: str = "other"
) -> OrderView:
    """Somebody else's limit order; trades when it meets one."""
    request = NewOrder(
        symbol=PRODUCT,
        side=side,
        client_id=f"other-{next(_numbers)}",
        quantity=D(quantity),
        price=D(price),
    )
    return venue.exchange.place(account, request)


@asynccontextmanager
async def quiet_venue(**options: Any) -> AsyncIterator[CoinbaseVenue]:
    """A venue that does nothing by itself: 49990 bid, 50010 asked, a bitcoin each."""
    async with CoinbaseVenue(**options) as venue:
        venue.crowd.withdraw(PRODUCT)
        for account in ("runner", "other", "third"):
            venue.exchange.deposit(account, "USD", D(100_000))
            venue.exchange.deposit(account, "BTC", D(2))
        other(venue, Side.BUY, "1", "49990")
        other(venue, Side.SELL, "1", "50010")
        yield venue


def limit(
    client_id: str, side: str = "BUY", size: str = "0.1", price: str = "49995"
) -> dict[str, Any]:
    """The body of a limit order that rests."""
    return {
        "client_order_id": client_id,
        "product_id": PRODUCT,
        "side": side,
        "order_configuration": {
            "limit_limit_gtc": {"base_size": size, "limit_price": price, "post_only": False}
        },
    }


class Client:
    """The shortest way to say anything to the venue, right or wrong."""

    def __init__(
        self, venue: CoinbaseVenue | str, pair: KeyPair, http: aiohttp.ClientSession
    ) -> None:
        self.rest_url = venue if isinstance(venue, str) else venue.rest_url
        self._venue = venue
        self.pair = pair
        self.http = http

    @property
    def venue(self) -> CoinbaseVenue:
        assert not isinstance(self._venue, str), "the venue is another process"
        return self._venue

    async def call(
        self, method: str, path: str, body: Any = None, **params: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        host = self.rest_url.partition("://")[2]
        token = build_rest_jwt(f"{method} {host}{PREFIX}{path}", self.pair.name, self.pair.secret)
        async with self.http.request(
            method,
            self.rest_url + PREFIX + path,
            json=body,
            params=[(k, v) for k, vs in params.items() for v in (vs if type(vs) is list else [vs])],
            headers={"Authorization": f"Bearer {token}"},
        ) as response:
            text = await response.text()
            content = json.loads(text) if text.startswith("{") else text
            return response.status, content, response

    async def get(self, path: str, **params: Any) -> Any:
        status, content, _ = await self.call("GET", path, **params)
        assert status == 200, content
        return content

    async def post(self, path: str, body: Any) -> Any:
        status, content, _ = await self.call("POST", path, body)
        assert status == 200, content
        return content

    async def place(self, body: dict[str, Any]) -> str:
        """The id of a new order."""
        answer = await self.post("/orders", body)
        assert answer["success"], answer
        return str(answer["success_response"]["order_id"])

    @asynccontextmanager
    async def stream(self, *channels: str, url: str = "") -> AsyncIterator[Stream]:
        async with self.http.ws_connect(url or self.venue.ws_user_url) as socket:
            stream = Stream(socket, self.pair)
            for channel in channels:
                await stream.subscribe(channel)
            yield stream


class Stream:
    """A WebSocket and what was heard on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, pair: KeyPair) -> None:
        self.socket = socket
        self._pair = pair

    async def say(self, kind: str, channel: str, *products: str, jwt: str | None = "") -> None:
        message: dict[str, Any] = {
            "type": kind,
            "channel": channel,
            "product_ids": list(products),
        }
        if jwt is not None:
            message["jwt"] = jwt or build_ws_jwt(self._pair.name, self._pair.secret)
        await self.socket.send_json(message)

    async def subscribe(self, channel: str, *products: str) -> None:
        await self.say("subscribe", channel, *products)

    async def hear(self, wanted: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """The next message (that is ``wanted``). Raises when the stream ends first."""
        while True:
            message: dict[str, Any] = await self.socket.receive_json(timeout=10)
            if wanted is None or wanted(message):
                return message

    async def hear_on(self, channel: str) -> dict[str, Any]:
        return await self.hear(lambda message: message.get("channel") == channel)

    async def hear_orders(self, amount: int) -> list[dict[str, Any]]:
        """The next ``amount`` orders of the user channel, whatever messages they come in."""
        orders: list[dict[str, Any]] = []
        while len(orders) < amount:
            for event in (await self.hear_on("user"))["events"]:
                orders += event["orders"]
        return orders


@asynccontextmanager
async def client_of(venue: CoinbaseVenue, **key: Any) -> AsyncIterator[Client]:
    """A client with a key of its own."""
    pair = make_es256(f"organizations/o/apiKeys/{next(_numbers)}")
    venue.add_key(pair.name, pair.public_key_pem, **key)
    async with aiohttp.ClientSession() as http:
        yield Client(venue, pair, http)
