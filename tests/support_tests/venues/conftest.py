"""Fixtures of the Binance venue's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest

from tests.support.venues.binance import BinanceVenue
from tests.support_tests.venues.binance_fixtures import Bare, Socket, funded


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    """BTCUSDT stands at 60000: offers from 60006, bids from 59994."""
    async with funded() as venue:
        venue.crowd.move("BTCUSDT", Decimal(60000))
        yield venue


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def bare(venue: BinanceVenue, http: aiohttp.ClientSession) -> Bare:
    return Bare(venue, http)


@pytest.fixture
async def socket(venue: BinanceVenue, http: aiohttp.ClientSession) -> AsyncIterator[Socket]:
    async with http.ws_connect(venue.ws_api_url) as ws:
        yield Socket(ws)
