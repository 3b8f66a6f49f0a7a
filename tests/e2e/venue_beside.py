"""A Binance venue beside the cluster, at an address that pods reach by HTTPS's port.

The kit itself listens on loopback. A relay on the node network's gateway carries connections to it:
a runner's NetworkPolicy lets out port 443, and what isn't relayed is a network that is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, TypeVar

from tests.e2e.cluster.settings import NODE_GATEWAY
from tests.venues.binance import BinanceVenue
from tests.venues.control import truth

T = TypeVar("T")
PORT = 443
ACCOUNT = "runner"


class Beside:
    """The venue, for a test in another thread than the venue's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, venue: BinanceVenue) -> None:
        self._loop, self._venue = loop, venue

    @property
    def options(self) -> dict[str, str]:
        """`venues[].options` of a runner in the cluster."""
        where = f"{NODE_GATEWAY}:{PORT}"
        return {
            "rest_url": f"http://{where}",
            "ws_api_url": f"ws://{where}/ws-api/v3",
            "stream_url": f"ws://{where}",
        }

    def do(self, what: Callable[[BinanceVenue], T]) -> T:
        """Call something of the venue in its own loop."""
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(what(self._venue))
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result(30)

    def truth(self) -> dict[str, Any]:
        """Orders, fills and balances as the exchange has them."""
        return self.do(lambda venue: truth(venue.exchange, ACCOUNT))

    def orders(self) -> list[dict[str, Any]]:
        """Every order of the account, oldest first."""
        return list(self.truth()["orders"])


@contextlib.contextmanager
def beside(secrets: dict[str, str], funds: dict[str, Decimal]) -> Iterator[Beside]:
    """Run a venue that knows the HMAC keys `secrets` (key → secret) until the block ends."""
    ready: Future[Beside] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with BinanceVenue(interval=0.2) as venue, _relayed(venue):
            for key, secret in secrets.items():
                venue.add_key(key, hmac_secret=secret, account=ACCOUNT)
            for asset, quantity in funds.items():
                venue.exchange.deposit(ACCOUNT, asset, quantity)
            ready.set_result(Beside(asyncio.get_running_loop(), venue))
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
async def _relayed(venue: BinanceVenue) -> AsyncIterator[None]:
    port = int(venue.rest_url.rsplit(":", 1)[1])

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    server = await asyncio.start_server(carry, NODE_GATEWAY, PORT)
    try:
        yield
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
