"""Series that alert rules watch: there in the first scrape, and moved by the real thing."""

from __future__ import annotations

from pathlib import Path

from tests.support.runner.runner_fixtures import Venue, make_loop, paper, resting, running, until
from tradepulse_runner.errors import OutcomeUnknown
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.phase import Phase

VIRTUAL_TIME = True

BY_VENUE = (
    "tradepulse_unknown_orders",
    "tradepulse_state_damaged_files",
    "tradepulse_credentials_refused_total",
)


def shown(loop: LiveExecutionLoop, name: str, **labels: str) -> float | None:
    return loop.metrics.registry.get_sample_value(name, labels)


def test_every_series_is_there_before_anything_happened(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    assert [shown(loop, name, venue="paper") for name in BY_VENUE] == [0.0, 0.0, 0.0]
    assert shown(loop, "tradepulse_daily_loss_share") == 0.0
    phases = {phase: shown(loop, "tradepulse_runner_phase", phase=phase) for phase in Phase}
    assert phases == {phase: float(phase is Phase.STARTING) for phase in Phase}


async def test_the_phase_is_the_one_of_the_moment(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        assert shown(loop, "tradepulse_runner_phase", phase="TRADING") == 1.0
        await loop.engage_kill_switch("test")
        assert shown(loop, "tradepulse_runner_phase", phase="TRADING") == 0.0
        assert shown(loop, "tradepulse_runner_phase", phase="HALTED") == 1.0


async def test_an_order_without_an_answer_is_counted_until_its_fate_is_known(
    tmp_path: Path,
) -> None:
    venue = Venue(paper(tmp_path))

    async def lost(_id: str) -> None:
        raise OutcomeUnknown("the test loses the answer")

    venue.after_place = lost
    async with running(tmp_path, venue) as loop:
        loop.submit_order("paper", resting(loop))
        await until(lambda: shown(loop, "tradepulse_unknown_orders", venue="paper") == 1.0)
        await until(lambda: shown(loop, "tradepulse_unknown_orders", venue="paper") == 0.0)


async def test_a_damaged_snapshot_is_counted_by_the_process_that_found_it(tmp_path: Path) -> None:
    for _ in range(2):  # two generations
        async with running(tmp_path) as loop:
            loop.submit_order("paper", resting(loop))
    (tmp_path / "paper_oms.json").write_bytes(b"\0" * 50)
    async with running(tmp_path) as loop:
        assert shown(loop, "tradepulse_state_damaged_files", venue="paper") == 1.0
    async with running(tmp_path) as loop:
        assert shown(loop, "tradepulse_state_damaged_files", venue="paper") == 0.0
