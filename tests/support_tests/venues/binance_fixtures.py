"""What the tests of the Binance venue share: a venue with a funded account, and a bare client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Market

KEY, SECRET = "kit-key", "kit-secret"
ED_KEY = "kit-ed25519"
BTC = Market()
ETH = Market(
    symbol="ETHUSDT",
    base="ETH",
    tick=Decimal("0.01"),
    lot=Decimal("0.0001"),
    min_quantity=Decimal("0.0001"),
    start_price=Decimal(3000),
)
PRIVATE = Ed25519PrivateKey.generate()


def private_pem() -> str:
    return PRIVATE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem() -> str:
    return (
        PRIVATE.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@contextlib.asynccontextmanager
async def funded(**options: Any) -> AsyncIterator[BinanceVenue]:
    """A venue whose account `runner` has 10 BTC, 100 ETH and a million USDT, and two keys."""
    async with BinanceVenue([BTC, ETH], **options) as venue:
        venue.add_key(KEY, hmac_secret=SECRET)
        venue.add_key(ED_KEY, public_key_pem=public_pem())
        for asset, quantity in (("BTC", 10), ("ETH", 100), ("USDT", 1000000)):
            venue.exchange.deposit("runner", asset, Decimal(quantity))
        yield venue


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> int:
        return int(self.body["code"])


def hmac_of(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def ed25519_of(text: str) -> str:
    return base64.b64encode(PRIVATE.sign(text.encode())).decode()


class Bare:
    """Requests as they go over the wire; ``timestamp`` is added and everything is signed, unless
    ``signed`` is false. What is given last overrides."""

    def __init__(self, venue: BinanceVenue, session: aiohttp.ClientSession) -> None:
        self._venue = venue
        self._session = session

    async def __call__(
        self, method: str, path: str, *, signed: bool = True, key: str = KEY, **params: Any
    ) -> Reply:
        query = urlencode({"timestamp": int(time.time() * 1000), **params} if signed else params)
        if signed:
            sign = ed25519_of if key == ED_KEY else hmac_of
            query += f"&signature={quote(sign(query))}"
        return await self.send(method, f"{path}?{query}", key=key)

    async def send(
        self, method: str, path: str, *, key: str | None = KEY, body: str | None = None
    ) -> Reply:
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        url = URL(f"{self._venue.rest_url}/api/v3/{path}", encoded=True)
        async with self._session.request(method, url, headers=headers, data=body) as response:
            return Reply(response.status, await response.json(), response.headers)

    async def order(self, **changes: Any) -> Reply:
        """A limit order to buy 0.01 BTC far below the market, unless told otherwise."""
        return await self("POST", "order", **{**limit_order(), **changes})


def limit_order(**changes: Any) -> dict[str, Any]:
    order = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01",
        "price": "50000",
    }
    return {**order, **changes}


class Socket:
    """A WebSocket API connection: answers by id, and events in order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.seen: list[Any] = []
        self._count = 0

    async def ask(self, method: str, /, key: str | None = KEY, **params: Any) -> Any:
        """Signed when there is a key."""
        self._count += 1
        await self.ws.send_json({"id": self._count, "method": method, "params": _sign(key, params)})
        return await self.until(lambda message: message.get("id") == self._count)

    async def until(self, wanted: Any) -> Any:
        """The next message that is ``wanted``; those before it are kept in ``seen``."""
        while True:
            message = json.loads(await self.ws.receive_str(timeout=10))
            if wanted(message):
                return message
            self.seen.append(message)

    async def event(self, kind: str, **fields: Any) -> Any:
        """The next user data event of this kind with these fields."""

        def fits(message: Any) -> bool:
            event = message.get("event", {})
            return event.get("e") == kind and all(event.get(k) == v for k, v in fields.items())

        return (await self.until(fits))["event"]


def _sign(key: str | None, params: dict[str, Any]) -> dict[str, Any]:
    if key is None:
        return params
    params = {"apiKey": key, "timestamp": int(time.time() * 1000), **params}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    return {**params, "signature": ed25519_of(text) if key == ED_KEY else hmac_of(text)}


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another task brings about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
