"""A venue beside the cluster, at an address that pods reach by HTTPS's port.

The kit itself listens on loopback, where a runner without a cluster finds it. A relay on the node
network's gateway carries connections to it: a runner's NetworkPolicy lets out port 443, and what
isn't relayed is a network that is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.coinbase import CoinbaseVenue
from tests.support.venues.coinbase.keys import make_es256
from tests.support.venues.control import venue_state

T = TypeVar("T")
PORT = 443
ACCOUNT = "runner"


@dataclass(frozen=True, repr=False)
class Credential:
    """`known`: what the venue is told of it, by argument of its `add_key`."""

    key: str
    secret: str
    known: dict[str, str]


@dataclass(frozen=True)
class Kind:
    """One venue's protocol. `urls`: its addresses, named as the connector's options are."""

    connector: str
    symbol: str
    base: str
    quote: str
    urls: tuple[str, ...]
    venue: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    credential: Callable[[str], Credential]


def _hmac(name: str) -> Credential:
    secret = f"secret-of-the-{name}-key"
    return Credential(f"{name}-key-of-the-test", secret, {"hmac_secret": secret})


def _es256(name: str) -> Credential:
    pair = make_es256(f"organizations/test/apiKeys/{name}")
    return Credential(pair.name, pair.secret, {"public_key_pem": pair.public_key_pem})


KINDS = (
    Kind(
        "binance",
        "BTCUSDT",
        "BTC",
        "USDT",
        ("rest_url", "ws_api_url", "stream_url"),
        lambda: BinanceVenue(interval=0.2),
        _hmac,
    ),
    Kind(
        "coinbase",
        "BTC-USD",
        "BTC",
        "USD",
        ("rest_url", "ws_url", "ws_user_url"),
        lambda: CoinbaseVenue(interval=0.2),
        _es256,
    ),
)


def _address(venue: Any) -> str:
    return str(venue.rest_url).split("://")[1].split("/")[0]


class Beside:
    """The venue, for a test in another thread than the venue's loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, kind: Kind, venue: Any, address: str
    ) -> None:
        self.kind = kind
        self._loop, self._venue, self._address = loop, venue, address

    @property
    def options(self) -> dict[str, str]:
        """`venues[].options` of a runner that reaches it."""
        found = {name: str(getattr(self._venue, name)) for name in self.kind.urls}
        here = _address(self._venue)
        return {name: url.replace(here, self._address) for name, url in found.items()}

    def add(self, credential: Credential) -> None:
        """The venue knows it from now on."""
        self.do(lambda venue: venue.add_key(credential.key, **credential.known, account=ACCOUNT))

    def revoke(self, credential: Credential) -> None:
        """The next request with it is refused."""
        self.do(lambda venue: venue.remove_key(credential.key))

    def do(self, what: Callable[[Any], T]) -> T:
        """Call something of the venue in its own loop."""
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(what(self._venue))
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result(30)

    def venue_state(self) -> dict[str, Any]:
        """Orders, fills and balances as the exchange has them."""
        return self.do(lambda venue: venue_state(venue.exchange, ACCOUNT))

    def orders(self) -> list[dict[str, Any]]:
        """Every order of the account, oldest first."""
        return list(self.venue_state()["orders"])


@contextlib.contextmanager
def beside(kind: Kind, *, cluster: bool = True) -> Iterator[Beside]:
    """Run a venue until the block ends; the account has one bitcoin and a million to spend.
    ``cluster``: whether the runner is in there, and not on this machine."""
    ready: Future[Beside] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            venue = await stack.enter_async_context(kind.venue())
            address = _address(venue)
            if cluster:
                address = await stack.enter_async_context(_relayed(address))
            venue.exchange.deposit(ACCOUNT, kind.base, Decimal(1))
            venue.exchange.deposit(ACCOUNT, kind.quote, Decimal(1_000_000))
            ready.set_result(Beside(asyncio.get_running_loop(), kind, venue, address))
            await stop.wait()

    thread = threading.Thread(target=_run, args=(serve(), ready), name="venue", daemon=True)
    thread.start()
    found = ready.result(30)
    try:
        yield found
    finally:
        found.do(lambda _: stop.set())
        thread.join(30)


def _run(serve: Coroutine[Any, Any, None], ready: Future[Beside]) -> None:
    try:
        asyncio.run(serve)
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


@contextlib.asynccontextmanager
async def _relayed(address: str) -> AsyncIterator[str]:
    """Where else ``address`` is reached."""
    host, port = address.split(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    server = await asyncio.start_server(carry, NODE_GATEWAY, PORT)
    try:
        yield f"{NODE_GATEWAY}:{PORT}"
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
