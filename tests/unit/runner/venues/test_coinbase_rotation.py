"""Coinbase keys are rotated while orders flow; a wrong key stops trading."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from tests.unit.runner.venues.rotation import Place, rotate_a_hundred_times, rotate_to_a_wrong_key
from tests.venues.coinbase import CoinbaseVenue
from tests.venues.coinbase.keys import KeyPair, make_es256
from tradepulse_runner.venues.coinbase.connector import build_coinbase


@cache
def key(number: int) -> KeyPair:
    return make_es256(f"organizations/tests/apiKeys/{number}")


def pair(number: int) -> tuple[str, str]:
    return key(number).name, key(number).secret


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with CoinbaseVenue(interval=0.05, private_rate=None, public_rate=None) as venue:
        for asset, quantity in (("BTC", 10), ("USD", 10**6)):
            venue.exchange.deposit("runner", asset, Decimal(quantity))
        yield Place(
            exchange=venue.exchange,
            connector="coinbase",
            symbol="BTC-USD",
            options={
                "rest_url": venue.rest_url,
                "ws_url": venue.ws_url,
                "ws_user_url": venue.ws_user_url,
            },
            build=build_coinbase,
            pair=pair,
            accept=lambda number: venue.add_key(key(number).name, key(number).public_key_pem),
            revoke=lambda number: venue.remove_key(key(number).name),
        )


async def test_a_hundred_rotations_lose_and_double_no_order(place: Place, tmp_path: Path) -> None:
    """A user stream that was subscribed with a key that is gone meanwhile is connected anew, and
    what was on its way is asked for: such an order may be late, but never lost."""
    found = await rotate_a_hundred_times(place, tmp_path)
    assert found.orders > 100


async def test_a_wrong_key_latches_and_is_not_shown(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await rotate_to_a_wrong_key(place, tmp_path)
    shown += "".join(str(record.__dict__) for record in caplog.records)
    secrets = "".join(key(number).secret for number in (1, 666)).splitlines()
    assert not [line for line in secrets if not line.startswith("-") and line in shown]
