"""Reads have a share of what a venue allows: what is left to orders, at the venue's own limit."""

from __future__ import annotations

from tests.support.runner.venues.coinbase_fixtures import bench, buy
from tradepulse_runner.venues.coinbase.limits import PER_SECOND
from tradepulse_runner.venues.http import together


async def test_a_storm_of_reads_at_coinbases_own_limit_is_never_refused_and_orders_pass() -> None:
    async with bench(rate=PER_SECOND) as b:
        reading = together(b.connector.get_positions() for _ in range(35))
        trading = (b.connector.place_order(buy(), f"tp-{number}") for number in range(5))
        found = await together((reading, *trading))
        assert len(found[0]) == 35  # type: ignore[arg-type]
        assert len(b.mine()) == 5
