"""A running loop that is judged from inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.runner_fixtures import (
    Venue,
    config,
    make_loop,
    market,
    paper,
    resting,
    trading,
    until,
)
from tradepulse_runner.config.runner import GuardConfig, RunnerConfig
from tradepulse_runner.errors import OrderRejected, RiskRejected
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.release import Release
from tradepulse_runner.server import Server

VIRTUAL_TIME = True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.live.loop.SHUTDOWN_PATIENCE", 1.0)


QUICK: dict[str, Any] = {"min_requests": 5, "evaluation_period": 60, "gap": 3, "cooldown": 60}


@asynccontextmanager
async def guarded(
    tmp_path: Path, venue: Venue | None = None, **limits: Any
) -> AsyncIterator[LiveExecutionLoop]:
    loop = make_loop(tmp_path, venue, guard=GuardConfig.model_validate({**QUICK, **limits}))
    await loop.start()
    try:
        await trading(loop)
        yield loop
    finally:
        await loop.shutdown()


def metric(loop: LiveExecutionLoop, name: str, reason: str) -> float | None:
    return loop.metrics.registry.get_sample_value(f"tradepulse_guard_{name}", {"reason": reason})


async def refuse(_client_id: str) -> None:
    raise OrderRejected("paper: no")


async def fail(loop: LiveExecutionLoop, venue: Venue, count: int = 5) -> None:
    """So many orders that the venue refuses."""
    venue.before_place = refuse
    before = loop.counts["error"]
    for _ in range(count):
        loop.submit_order("paper", resting(loop))
    await until(lambda: loop.counts["error"] == before + count)
    venue.before_place = None


def test_every_series_is_there_at_once(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    for reason in ("error_rate", "latency", "gap"):
        assert metric(loop, "breach", reason) == metric(loop, "triggers_total", reason) == 0


async def test_an_alert_is_shown_and_trading_goes_on(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with guarded(tmp_path, venue) as loop:
        await fail(loop, venue)
        await until(lambda: metric(loop, "breach", "error_rate") == 1)
        assert metric(loop, "triggers_total", "error_rate") == 1
        assert loop.phase()[0] is Phase.TRADING
        shown = Server(loop, Release(version="1"), "").status()["guard"]
        assert shown["breach"] == "error_rate"
        assert (shown["error_rate"], shown["total_requests"]) == (1.0, 5)
        assert shown["findings"]["gap"] == "ok"
        assert shown["restrained"] == ""


async def test_a_halt_cancels_and_ends_when_it_was_long_enough(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    limits = {"cooldown": 0.5, "evaluation_period": 1}
    async with guarded(tmp_path, venue, action="halt", **limits) as loop:
        loop.submit_order("paper", resting(loop))
        await until(lambda: loop.counts["ok"] == 1)
        await fail(loop, venue, 4)
        assert loop.phase()[0] is Phase.HALTED
        assert "guard: error rate" in loop.phase()[1]
        with pytest.raises(RiskRejected, match="guard"):
            loop.submit_order("paper", resting(loop))
        await until(lambda: not loop.sessions["paper"].oms.state.live)
        await trading(loop)
        assert metric(loop, "breach", "error_rate") == 0


async def test_reduce_lets_only_what_reduces_leave(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with guarded(tmp_path, venue, action="reduce") as loop:
        loop.submit_order("paper", market(quantity="0.02"))
        await until(lambda: any(loop.sessions["paper"].oms.state.positions.values()))
        await fail(loop, venue, 4)
        assert loop.phase()[0] is Phase.REDUCING
        with pytest.raises(RiskRejected):
            loop.submit_order("paper", market())
        assert loop.guard.status()["restrained"]


async def test_kill_latches(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with guarded(tmp_path, venue, action="kill") as loop:
        await fail(loop, venue)
        assert loop.kill_switch == (True, "guard: error rate 1 above 0.02")


async def test_a_venue_that_is_not_read_any_more_is_a_gap(tmp_path: Path) -> None:
    venue = Venue(paper(tmp_path))
    async with guarded(tmp_path, venue, gap=1) as loop:
        await until(lambda: loop.guard.guard.findings)
        assert metric(loop, "breach", "gap") == 0
        assert venue.inner._ticker is not None
        venue.inner._ticker.cancel()
        venue.inner.connect = venue.inner.disconnect  # type: ignore[method-assign]
        await until(lambda: metric(loop, "breach", "gap") == 1)
        assert loop.guard.status()["silent"] in ("fill_poll paper", "market_data paper")


def test_a_gap_shorter_than_an_interval_is_refused(tmp_path: Path) -> None:
    raw = config(tmp_path, guard={"gap": 20}, loop={"fill_poll_interval": 20})
    with pytest.raises(ValueError, match=r"raise guard\.gap above it"):
        RunnerConfig.model_validate(raw)
