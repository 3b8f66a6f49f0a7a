"""The kill switch at a venue that has had enough of us: cancels wait no longer than they must."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.runner.runner_fixtures import until
from tests.support.runner.venues.venue_fixtures import VenueFixture, order, running
from tests.support.venues.faults import Fault
from tradepulse_runner.domain import Side
from tradepulse_runner.live.killreport import read_report

#: How long a throttled venue wants to hear nothing, seconds.
SILENCE = 1.5


def listed(state_dir: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (read_report(state_dir) or {"uncancelled": []})["uncancelled"]
    return found


async def test_cancels_that_a_throttle_refused_are_listed_and_leave_when_it_is_over(
    place: VenueFixture, tmp_path: Path
) -> None:
    async with running(place, tmp_path) as loop:
        made = {
            loop.submit_order("spot", order(loop, place.symbol, Side.BUY, "-0.02"))
            for _ in range(20)
        }
        state = loop.sessions["spot"].oms.state
        await until(lambda: len(state.working()) == len(made))
        place.faults.add(Fault("cancel", "throttle", times=-1, seconds=SILENCE))
        await loop.engage_kill_switch("stop")
        await until(lambda: {entry["order"] for entry in listed(tmp_path / "state")} == made)
        await until(lambda: all("no requests" in e["why"] for e in listed(tmp_path / "state")))
        place.faults.clear()
        refused = [fault.on for fault in place.faults.fired]
        assert set(refused) == {"cancel"}

        await until(lambda: not place.exchange.open_orders("runner"), seconds=30)
        await until(lambda: (read_report(tmp_path / "state") or {})["complete"], seconds=30)
        assert listed(tmp_path / "state") == []
        times = [request.time for request in place.requests]
        pauses = [after - before for before, after in pairwise(times)]
        assert max(pauses) > 0.6 * SILENCE  # a Retry-After of Coinbase's is whole seconds


async def test_reads_that_used_their_share_up_hold_up_no_cancel(
    place: VenueFixture, tmp_path: Path
) -> None:
    """Whoever reads in a storm is slowed down; what cancels goes in between, at once."""
    async with running(place, tmp_path) as loop:
        mine = loop.submit_order("spot", order(loop, place.symbol, Side.BUY, "-0.02"))
        session = loop.sessions["spot"]
        await until(lambda: session.oms.state.orders[mine].status.working)
        connector: Any = session.connector
        reads = connector._rest.limits._reads
        reads._free_at = connector._rest._monotonic() + 3.0  # as after a storm of them
        reading = asyncio.create_task(connector.get_positions())
        sent = len(place.requests)
        await loop.cancel_order(mine, "spot")
        assert not reading.done()
        assert len(place.requests) > sent
        assert not place.exchange.open_orders("runner")
        reading.cancel()
