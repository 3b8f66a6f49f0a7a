"""Venues in the foreground, until Ctrl+C.

``python -m tests.support.venues binance --port 8080``
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import click

from tests.support.venues.binance import BinanceVenue
from tests.support.venues.coinbase.keys import make_es256
from tests.support.venues.coinbase.server import CoinbaseVenue
from tests.support.venues.exchange import Exchange
from tests.support.venues.keyfile import Key, read_keys, write_credentials

_FUNDS = {"BTC": Decimal(10), "ETH": Decimal(100)}
_CASH = Decimal(1000000)

Urls = dict[str, str]
Opener = Callable[[int, int, float, Sequence[Key]], contextlib.AbstractAsyncContextManager[Urls]]


class Served(Protocol):
    @property
    def exchange(self) -> Exchange: ...


@contextlib.asynccontextmanager
async def open_binance(
    port: int, seed: int, interval: float, keys: Sequence[Key]
) -> AsyncIterator[Urls]:
    """A venue that knows ``keys``, whose accounts have something to trade with; gives its urls."""
    async with BinanceVenue(port=port, seed=seed, interval=interval) as venue:
        for key in keys:
            venue.add_key(key.api_key, key.secret, key.public_key_pem, key.account)
        fund(venue, {key.account for key in keys})
        yield {
            "rest_url": venue.rest_url,
            "ws_api_url": venue.ws_api_url,
            "stream_url": venue.stream_url,
        }


@contextlib.asynccontextmanager
async def open_coinbase(
    port: int, seed: int, interval: float, keys: Sequence[Key]
) -> AsyncIterator[Urls]:
    async with CoinbaseVenue(port=port, seed=seed, interval=interval) as venue:
        for key in keys:
            if key.public_key_pem is None:
                raise click.ClickException(f"key {key.api_key}: Coinbase wants a public_key_pem")
            venue.add_key(key.api_key, key.public_key_pem, key.account)
        fund(venue, {key.account for key in keys})
        yield {
            "rest_url": venue.rest_url,
            "ws_url": venue.ws_url,
            "ws_user_url": venue.ws_user_url,
        }


def fund(venue: Served, accounts: set[str]) -> None:
    """A million of each quote asset, and some of each base asset, for every account."""
    for account in sorted(accounts):
        markets = venue.exchange.markets.values()
        for asset in sorted({market.base for market in markets}):
            venue.exchange.deposit(account, asset, _FUNDS.get(asset, Decimal(1000)))
        for asset in sorted({market.quote for market in markets}):
            venue.exchange.deposit(account, asset, _CASH)


OPENERS: Mapping[str, Opener] = {"binance": open_binance, "coinbase": open_coinbase}


@click.group(help=__doc__)
def main() -> None: ...


def _options(command: Callable[..., None]) -> Callable[..., None]:
    keys = click.option(
        "--keys",
        "keyfile",
        type=click.Path(path_type=Path),
        help="JSON list of keys that the venue knows; without it, it makes up its own.",
    )
    return _crowd(click.option("--port", default=0, help="0: any free one.")(keys(command)))


def _crowd(command: Callable[..., None]) -> Callable[..., None]:
    seed = click.option("--seed", default=1, help="Of the crowd.")
    interval = click.option(
        "--interval", default=1.0, help="Seconds between the crowd's steps; 0: it stands still."
    )
    secrets = click.option(
        "--credentials",
        default=".venues",
        type=click.Path(path_type=Path),
        help="Directory to write made-up keys to, as the runner's credentials_dir has them.",
    )
    return seed(interval(secrets(command)))


@main.command(help="Binance spot: REST, WebSocket API, streams.")
@_options
def binance(port: int, seed: int, interval: float, keyfile: Path | None, credentials: Path) -> None:
    _run({"binance": port}, seed, interval, keyfile, credentials)


@main.command(help="Coinbase Advanced Trade: REST, streams.")
@_options
def coinbase(
    port: int, seed: int, interval: float, keyfile: Path | None, credentials: Path
) -> None:
    _run({"coinbase": port}, seed, interval, keyfile, credentials)


@main.command(help="Both, at ports that stay the same.")
@click.option("--binance-port", default=18080, show_default=True)
@click.option("--coinbase-port", default=18081, show_default=True)
@_crowd
def up(
    binance_port: int, coinbase_port: int, seed: int, interval: float, credentials: Path
) -> None:
    ports = {"binance": binance_port, "coinbase": coinbase_port}
    _run(ports, seed, interval, None, credentials)


def _run(
    ports: Mapping[str, int],
    seed: int,
    interval: float,
    keyfile: Path | None,
    credentials: Path,
) -> None:
    try:
        given = read_keys(keyfile) if keyfile else None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    keys = {name: given or [_make_up(name, credentials)] for name in ports}
    asyncio.run(_serve(ports, seed, interval, keys))


def _make_up(name: str, directory: Path) -> Key:
    """Keys for this venue alone, written where the runner finds them."""
    if name == "coinbase":
        pair = make_es256()
        key, secret = Key(pair.name, public_key_pem=pair.public_key_pem), pair.secret
    else:
        secret = "kit-binance-secret"
        key = Key("kit-binance-key", secret=secret)
    write_credentials(directory, name, key.api_key, secret)
    click.echo(
        f"{name} key: {key.api_key} (account {key.account}), with its secret in {directory}/"
    )
    return key


async def _serve(
    ports: Mapping[str, int], seed: int, interval: float, keys: Mapping[str, Sequence[Key]]
) -> None:
    """Until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        for name, port in ports.items():
            opened = OPENERS[name](port, seed, interval, keys[name])
            try:
                urls = await stack.enter_async_context(opened)
            except OSError as error:
                raise click.ClickException(
                    f"{name} cannot listen on port {port} ({error.strerror}): name another one"
                ) from None
            for what, url in urls.items():
                click.echo(f"{name} {what}: {url}")
        click.echo("ready")
        await stop.wait()
