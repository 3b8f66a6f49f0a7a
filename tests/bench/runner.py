"""``make bench-runner``: from a signal to bytes on the wire, and what else a runner costs.

The same limit order goes to the same venue (the Binance kit, a process of its own) through the
whole runner, with and without fsync, and through ccxt and python-binance alone. A relay before
the venue notes when each order's bytes arrive. Every subject is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import click

import tradepulse_runner.live.loop
from tests.bench import disk
from tests.bench.relay import Relay
from tests.support.venues.binance import BinanceVenue
from tests.support.venues.exchange import Market
from tradepulse_runner.config.runner import RiskConfig, StrategyConfig, VenueConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.domain import Order, Side
from tradepulse_runner.files.snapshot import make_dirs
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.journal import Journal
from tradepulse_runner.risk.manager import RiskLimits, RiskManager
from tradepulse_runner.strategy.catalog import build_strategy
from tradepulse_runner.venues.binance.connector import build_binance

KEY, SECRET = "bench-runner-key", "bench-runner-secret"
SYMBOL, PRICE, QUANTITY = "BTCUSDT", Decimal(59000), Decimal("0.001")
#: Seconds between two orders whose way is timed; they wait for one another as well.
PAUSE = 0.005
LIMITS = {
    "max_position": "1000000",
    "max_notional": "1000000000",
    "max_order_notional": "20000",
    "max_orders_per_interval": 100_000,
    "interval_seconds": 1,
    "max_daily_loss": "1000000",
    "price_collar": "0.05",
}
#: Steps of a strategy that are timed.
STEPS = 5_000
Send = Callable[[int], Awaitable[str]]
Cancel = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True)
class Place:
    """Where the venue is. ``rest``: through the relay."""

    rest: str
    ws_api: str
    stream: str


# -- processes ---------------------------------------------------------------------------------


def fork(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run ``work`` in a process of its own; its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(work())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return pid


def appears(path: Path) -> str:
    """The content of a file that another process is about to write."""
    end = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > end:
            raise click.ClickException(f"{path.name} did not appear: see the traceback above")
        time.sleep(0.01)
    return path.read_text()


async def serve_venue(ready: Path) -> None:
    market = Market(max_open_orders=10**6)
    async with BinanceVenue([market], weight_limit=10**9, order_limit=10**9) as venue:
        venue.add_key(KEY, hmac_secret=SECRET)
        venue.exchange.deposit("runner", "USDT", Decimal(10**9))
        temp = ready.with_suffix(".tmp")
        temp.write_text(json.dumps([venue.rest_url, venue.ws_api_url, venue.stream_url]))
        temp.rename(ready)
        await asyncio.Event().wait()


# -- subjects ----------------------------------------------------------------------------------


def resident() -> float:
    """Memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measured(send: Send, cancel: Cancel, orders: int, out: Path) -> None:
    """Time single orders, then send many at once; each is cancelled outside of the time."""
    await cancel(await send(10**6))  # connected, and imported whatever is imported late
    signals = {}
    for number in range(orders):
        at = time.monotonic_ns()
        signals[name := await send(number)] = at
        await cancel(name)
        await asyncio.sleep(PAUSE)
    limit = asyncio.Semaphore(8)  # as many at once as the runner

    async def one(number: int) -> str:
        async with limit:
            return await send(number)

    began, used = time.monotonic(), time.process_time()
    names = await asyncio.gather(*(one(orders + number) for number in range(orders)))
    rate = orders / (time.monotonic() - began)
    cpu = (time.process_time() - used) / orders * 1000
    for name in names:
        await cancel(name)
    text = json.dumps({"signals": signals, "rss": resident(), "rate": rate, "cpu": cpu})
    await asyncio.to_thread(out.write_text, text)


async def by_runner(place: Place, folder: Path, orders: int, out: Path, *, fsync: bool) -> None:
    """Through everything: gate, risk, journal, connector."""
    if not fsync:
        lazy = partial(Oms, fsync=lambda _fd: None)
        setattr(tradepulse_runner.live.loop, "Oms", lazy)  # noqa: B010
    loop = make_loop(place, folder)
    await loop.start()
    book = loop.sessions["binance"].oms.state

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.0005)

    async def send(_number: int) -> str:
        client_id = loop.submit_order("binance", order())
        await until(lambda: book.orders[client_id].status.working)
        return client_id

    async def cancel(client_id: str) -> None:
        await loop.cancel_order(client_id, "binance")

    await until(lambda: loop.phase()[0] is Phase.TRADING)
    await measured(send, cancel, orders, out)
    note_steps(loop, out)
    await loop.shutdown()


def note_steps(loop: LiveExecutionLoop, out: Path) -> None:
    """Add to ``out`` how often a second the strategy could be asked: quotes in, a decision out."""
    strategy = build_strategy(StrategyConfig(name="momentum"), source="bench")
    assert loop._venues.submitter is not None
    trading = loop._strategy_runner(strategy, loop._venues.submitter)
    began = time.monotonic()
    for _ in range(STEPS):
        strategy.act(trading._views())
    steps = STEPS / (time.monotonic() - began)
    out.write_text(json.dumps({**json.loads(out.read_text()), "steps": steps}))


def make_loop(place: Place, folder: Path) -> LiveExecutionLoop:
    venue = VenueConfig(
        name="binance",
        connector="binance",
        symbols=[SYMBOL],
        options={
            "rest_url": place.rest,
            "ws_api_url": place.ws_api,
            "stream_url": place.stream,
        },
    )
    environment = {"BINANCE_API_KEY": KEY, "BINANCE_API_SECRET": SECRET}
    store = CredentialStore.open("binance", None, environment)
    connector = build_binance(venue, store, source="bench", clock=time.time)
    limits = RiskLimits.from_config(RiskConfig.model_validate(LIMITS))
    return LiveExecutionLoop(
        {"binance": connector},
        RiskManager(limits, clock=time.time),
        config=LiveLoopConfig(folder, heartbeat_interval=1.0, fill_poll_interval=1.0),
    )


def order() -> Order:
    return Order(SYMBOL, Side.BUY, QUANTITY, price=PRICE, algo="bench")


async def by_ccxt(place: Place, orders: int, out: Path) -> None:
    # Only this process is to pay for it.
    import ccxt.async_support as ccxt  # noqa: PLC0415

    api = f"{place.rest}/api/v3"
    client = ccxt.binance({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
    client.urls["api"] = {**client.urls["api"], "public": api, "private": api}
    client.options["fetchCurrencies"] = client.options["fetchMargins"] = False
    client.options["fetchMarkets"] = {"types": ["spot"]}
    await client.load_markets()
    ids: dict[str, str] = {}

    async def send(number: int) -> str:
        name = f"ccxt-{number}"
        more = {"newClientOrderId": name}
        made = await client.create_order(
            "BTC/USDT", "limit", "buy", float(QUANTITY), float(PRICE), more
        )
        ids[name] = made["id"]
        return name

    async def cancel(name: str) -> None:
        await client.cancel_order(ids.pop(name), "BTC/USDT")

    await measured(send, cancel, orders, out)
    await client.close()


async def by_python_binance(place: Place, orders: int, out: Path) -> None:
    import binance  # noqa: PLC0415

    class Client(binance.AsyncClient):  # type: ignore[misc]
        API_URL = f"{place.rest}/api"

    client = Client(KEY, SECRET)

    async def send(number: int) -> str:
        name = f"pb-{number}"
        await client.create_order(
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity=str(QUANTITY),
            price=str(PRICE),
            newClientOrderId=name,
        )
        return name

    async def cancel(name: str) -> None:
        await client.cancel_order(symbol=SYMBOL, origClientOrderId=name)

    await measured(send, cancel, orders, out)
    await client.session.close()


# -- recovery ----------------------------------------------------------------------------------


def recovery(folder: Path, records: int) -> float:
    """Seconds to open a book whose journal holds so many records."""
    make_dirs(folder)
    journal = Journal(folder, "v", fsync=lambda _fd: None)
    journal.recover(folder)
    body = {"symbol": "X", "side": "buy", "quantity": "1", "type": "limit", "price": "9"}
    for number in range(records // 2):
        what = {"id": f"id-{number}", "ts": 0.0, "epoch": 1, "order": {**body, "algo": "a"}}
        journal.append({"t": "queued", **what})
        journal.append({"t": "status", "id": f"id-{number}", "status": "expired", "reason": ""})
    journal.close()
    began = time.monotonic()
    oms = Oms(folder, "v", clock=time.time)
    oms.open()
    took = time.monotonic() - began
    oms.close()
    return took


# -- the table ---------------------------------------------------------------------------------


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def show(found: dict[str, dict[str, Any]], stamps: dict[str, int]) -> None:
    """A row a subject, and its ratio to ccxt."""
    heads = (
        f"{'p50 ms':>8}{'p99 ms':>8}{'orders/s':>10}{'CPU ms':>8}{'RSS MiB':>9}{'p50 : ccxt':>12}"
    )
    click.echo(f"\n{'signal → bytes at the venue':<32}{heads}")
    ways = {
        name: [(stamps[i] - at) / 1e6 for i, at in row["signals"].items() if i in stamps]
        for name, row in found.items()
    }
    base = statistics.median(ways["ccxt alone"])
    for name, row in found.items():
        way = ways[name]
        middle = statistics.median(way)
        click.echo(
            f"{name:<32}{middle:>8.2f}{quantile(way, 0.99):>8.2f}{row['rate']:>10.0f}"
            f"{row['cpu']:>8.2f}{row['rss']:>9.0f}{middle / base:>12.2f}"
        )


def show_disk(base: Path, records: int) -> None:
    """Ways to make a record durable, on the disk that the runner was measured on."""
    folder = base / "disk"
    folder.mkdir(exist_ok=True)
    found = asyncio.run(disk.compare(folder, records))
    click.echo(f"\n{'a record made durable':<32}{'p50 ms':>8}{'p99 ms':>8}{'p50 : journal':>15}")
    journal = statistics.median(found[disk.BASE])
    for name, took in found.items():
        middle, late = statistics.median(took), quantile(took, 0.99)
        ratio = middle / journal
        click.echo(f"{name:<32}{middle * 1000:>8.2f}{late * 1000:>8.2f}{ratio:>15.2f}")


@click.command()
@click.option("--orders", default=400, show_default=True, help="Orders of each subject.")
@click.option("--folder", type=click.Path(path_type=Path), help="On the disk to be measured.")
def main(orders: int, folder: Path | None) -> None:
    """Measure one runner on this machine."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        base = Path(name)
        helpers = [fork(partial(serve_venue, base / "venue"))]
        try:
            rest, ws_api, stream = json.loads(appears(base / "venue"))
            relay = Relay(int(rest.rpartition(":")[2]))
            helpers.append(fork(partial(relay.serve, base / "port", base / "stamps")))
            place = Place(f"http://127.0.0.1:{appears(base / 'port')}", ws_api, stream)
            found = measure(place, base, orders)
            os.kill(helpers[1], signal.SIGTERM)
            show(found, json.loads(appears(base / "stamps")))
        finally:
            for pid in helpers:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        click.echo(f"\nticks taken to a decision: {found['runner, fsync']['steps']:.0f}/s")
        show_disk(base, min(orders, 3_000))
        click.echo("\nopening a book whose journal holds")
        for records in (1_000, 10_000, 100_000):
            took = recovery(base / f"journal-{records}", records)
            click.echo(f"{records:>12} records {took:>8.3f} s")


def measure(place: Place, base: Path, orders: int) -> dict[str, dict[str, Any]]:
    """Each subject in its turn."""
    subjects: dict[str, Callable[[Path], Coroutine[Any, Any, None]]] = {
        "runner, fsync": lambda out: by_runner(place, base / "a", orders, out, fsync=True),
        "runner, no fsync": lambda out: by_runner(place, base / "b", orders, out, fsync=False),
        "ccxt alone": lambda out: by_ccxt(place, orders, out),
        "python-binance alone": lambda out: by_python_binance(place, orders, out),
    }
    found = {}
    for number, (name, work) in enumerate(subjects.items()):
        out = base / f"out-{number}"
        _, status = os.waitpid(fork(partial(work, out)), 0)
        if status:
            raise click.ClickException(f"{name} failed: see the traceback above")
        found[name] = json.loads(out.read_text())
    return found


if __name__ == "__main__":
    main()
