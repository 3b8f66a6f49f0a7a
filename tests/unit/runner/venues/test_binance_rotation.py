"""Binance keys are rotated while orders flow; a wrong key stops trading."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.runner.venues.rotation import Place, rotate_a_hundred_times, rotate_to_a_wrong_key
from tests.venues.binance import BinanceVenue
from tradepulse_runner.venues.binance.connector import build_binance


def pair(number: int) -> tuple[str, str]:
    return f"key-{number}", f"the-secret-of-the-key-{number}"


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with BinanceVenue(interval=0.05, order_limit=10**6, weight_limit=10**6) as venue:
        for asset, quantity in (("BTC", 10), ("USDT", 10**6)):
            venue.exchange.deposit("runner", asset, Decimal(quantity))
        yield Place(
            exchange=venue.exchange,
            connector="binance",
            symbol="BTCUSDT",
            options={
                "rest_url": venue.rest_url,
                "ws_api_url": venue.ws_api_url,
                "stream_url": venue.stream_url,
            },
            build=build_binance,
            pair=pair,
            accept=lambda number: venue.add_key(pair(number)[0], hmac_secret=pair(number)[1]),
            revoke=lambda number: venue.remove_key(pair(number)[0]),
        )


async def test_a_hundred_rotations_lose_and_double_no_order(place: Place, tmp_path: Path) -> None:
    found = await rotate_a_hundred_times(place, tmp_path)
    assert found.orders > 100
    assert (found.errors, found.refused) == (0, {})


async def test_a_wrong_key_latches_and_is_not_shown(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await rotate_to_a_wrong_key(place, tmp_path)
    shown += "".join(str(record.__dict__) for record in caplog.records)
    assert not [number for number in (1, 666) if pair(number)[1] in shown]
