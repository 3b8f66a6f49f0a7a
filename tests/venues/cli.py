"""``python -m tests.venues binance --port 8080``, or ``coinbase``: a venue in the foreground, until
Ctrl+C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import click

from tests.venues.binance import BinanceVenue
from tests.venues.coinbase import CoinbaseVenue
from tests.venues.coinbase.keys import make_ed25519
from tests.venues.exchange import Exchange
from tests.venues.keyfile import Key, read_keys

_FUNDS = {"BTC": Decimal(10), "ETH": Decimal(100)}
_CASH = Decimal(1000000)


class Served(Protocol):
    @property
    def exchange(self) -> Exchange: ...


Opened = contextlib.AbstractAsyncContextManager[dict[str, str]]
Opener = Callable[[int, int, float, Sequence[Key]], Opened]


@contextlib.asynccontextmanager
async def open_binance(
    port: int, seed: int, interval: float, keys: Sequence[Key]
) -> AsyncIterator[dict[str, str]]:
    """A Binance venue that knows ``keys``; gives its urls by name."""
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
) -> AsyncIterator[dict[str, str]]:
    """A Coinbase venue that knows ``keys``; gives its urls by name."""
    async with CoinbaseVenue(port=port, seed=seed, interval=interval) as venue:
        for key in keys:
            if key.public_key_pem is None:
                raise click.ClickException(f"key {key.api_key!r} needs its public_key_pem")
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


_OPENERS: dict[str, Opener] = {"binance": open_binance, "coinbase": open_coinbase}


def _made_up(venue: str) -> Key:
    """For a venue that is told no keys: one whose secret may be shown."""
    if venue == "coinbase":
        pair = make_ed25519("organizations/kit/apiKeys/kit")
        return Key(pair.name, secret=pair.secret, public_key_pem=pair.public_key_pem)
    return Key("kit-binance-key", secret="kit-binance-secret")


@click.command(help=__doc__)
@click.argument("venue", type=click.Choice(sorted(_OPENERS)))
@click.option("--port", default=0, help="0: any free one.")
@click.option("--seed", default=1, help="Of the crowd.")
@click.option(
    "--interval", default=1.0, help="Seconds between the crowd's steps; 0: it stands still."
)
@click.option("--keys", "keyfile", type=click.Path(path_type=Path), help="JSON file of keys.")
def main(venue: str, port: int, seed: int, interval: float, keyfile: Path | None) -> None:
    try:
        keys = read_keys(keyfile) if keyfile else [_made_up(venue)]
        opened = _OPENERS[venue](port, seed, interval, keys)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    asyncio.run(_serve(venue, opened, keys if keyfile is None else []))


async def _serve(name: str, opened: Opened, show: Sequence[Key]) -> None:
    """Serve until SIGINT or SIGTERM. ``show``: made-up keys, whose secrets may be told."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with opened as urls:
        for what, url in urls.items():
            click.echo(f"{name} {what}: {url}")
        for key in show:
            click.echo(f"{name} key: {key.api_key} secret: {key.secret} (account {key.account})")
        await stop.wait()
