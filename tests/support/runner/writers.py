"""Two runner processes that want to be the one writer at one venue, and what the venue saw."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from tests.support.runner.process import RunnerProcess, eventually
from tests.support.venues.binance import BinanceVenue

T = TypeVar("T")
KEY, SECRET = "kit-key", "kit-secret-of-the-kit-key"


class Background:
    """An event loop in a thread: servers go on while the test looks at processes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def open(self, server: AbstractAsyncContextManager[T]) -> T:
        """Enter it in the thread; it is left at the end."""
        return self.run(self._stack.enter_async_context(server))

    def call(self, act: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(act)


def open_venue(background: Background) -> BinanceVenue:
    """A Binance kit that knows the key, with money on its account."""
    venue = background.open(BinanceVenue(interval=0.05, order_limit=10**6, weight_limit=10**6))
    venue.add_key(KEY, hmac_secret=SECRET)
    for asset, quantity in (("BTC", 10), ("USDT", 10**6)):
        venue.exchange.deposit("runner", asset, Decimal(quantity))
    return venue


def write_credentials(folder: Path) -> Path:
    """The venue's credentials as files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BINANCE_API_KEY").write_text(KEY)
    (folder / "BINANCE_API_SECRET").write_text(SECRET)
    return folder


def contender(
    runner: RunnerProcess,
    identity: str,
    venue: BinanceVenue,
    lease: dict[str, Any],
) -> RunnerProcess:
    """``runner`` as a pod of that uid would be: trading on ``venue``, with that lease."""
    runner.environ["POD_UID"] = identity
    runner.config["lease"] = lease
    runner.config["strategy"] = {
        "name": "momentum",
        "parameters": {"orders_per_second": 20, "order_notional": 100},
    }
    runner.config["venues"] = [
        {
            "name": "binance",
            "connector": "binance",
            "symbols": ["BTCUSDT"],
            "credentials_dir": str(write_credentials(runner.folder / "credentials")),
            "options": {
                "rest_url": venue.rest_url,
                "ws_api_url": venue.ws_api_url,
                "stream_url": venue.stream_url,
                "recv_window": 1000,
                "clock_margin": 1.0,
            },
        }
    ]
    return runner


def epochs(venue: BinanceVenue) -> list[int]:
    """The writer epoch of each order request that reached the venue, in their order."""
    orders = [r for r in list(venue.requests) if r.method == "POST" and r.client_id]
    return [epoch_of(order.client_id) for order in orders]


def epoch_of(client_id: str) -> int:
    return int(client_id.split("-")[3], 36)


def until_orders_of(venue: BinanceVenue, epoch: int, count: int = 5) -> None:
    eventually(lambda: epochs(venue).count(epoch) >= count, within=60, what=f"epoch {epoch}")


def stale(venue: BinanceVenue) -> list[int]:
    """Epochs of order requests that arrived after one of a higher epoch."""
    return _falling(epochs(venue))


def stale_accepted(venue: BinanceVenue) -> list[int]:
    """Epochs of orders that the venue accepted after one of a higher epoch."""
    orders = sorted(venue.exchange.orders("runner"), key=lambda order: order.id)
    return _falling([epoch_of(order.client_id) for order in orders])


def _falling(epochs: list[int]) -> list[int]:
    found: list[int] = []
    highest = 0
    for epoch in epochs:
        if epoch < highest:
            found.append(epoch)
        highest = max(highest, epoch)
    return found


@contextlib.contextmanager
def ended(*runners: RunnerProcess) -> Iterator[None]:
    """None of the processes outlives the block."""
    try:
        yield
    finally:
        for runner in runners:
            runner.close()
