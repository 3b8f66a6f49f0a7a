"""The journal stays small although snapshots follow records, not a clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.runner.runner_fixtures import kill, make_loop, market, running, trading, until
from tradepulse_runner.domain import ZERO, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.journal import list_segments, scan

PER_SNAPSHOT = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepulse_runner.oms.book.RECORDS_PER_SNAPSHOT", PER_SNAPSHOT)


def on_disk(folder: Path) -> int:
    """Records in the journal's files."""
    return sum(len(scan(path.read_bytes()).records) for path in list_segments(folder, "paper"))


def opened(folder: Path) -> Oms:
    oms = Oms(folder, "paper", clock=time.time, epoch=1, fsync=lambda _fd: None)
    oms.open()
    return oms


@pytest.mark.parametrize("burst", [1, 7, 60])
@pytest.mark.parametrize("restarts", [False, True])
async def test_two_snapshots_worth_and_what_came_between_two_looks_is_all_there_is(
    tmp_path: Path, burst: int, restarts: bool
) -> None:
    """``burst``: records between two looks at whether a snapshot is due. The first half is what the
    generation before needs, so that a damaged snapshot loses nothing."""
    oms, most, written = opened(tmp_path), 0, 0
    while written < 6 * (PER_SNAPSHOT + burst):
        for _ in range(burst):
            oms.start_day(f"day {written}", ZERO)
            written += 1
        await oms._journal.sync()
        most = max(most, on_disk(tmp_path))
        if oms.save_due:
            await oms.save()
        if restarts and written % 11 == 0:
            oms.close()  # as a kill does: without a snapshot
            oms = opened(tmp_path)
    assert PER_SNAPSHOT <= most <= 2 * (PER_SNAPSHOT + burst)
    assert oms.state.day == f"day {written - 1}"
    oms.close()


async def test_the_loop_looks_while_it_trades(tmp_path: Path) -> None:
    async with running(tmp_path, max_orders_per_interval=200) as loop:
        oms, sent, most = loop.sessions["paper"].oms, 0, 0
        began = oms._saved_seq
        while oms._saved_seq - began < 4 * PER_SNAPSHOT:
            try:
                loop.submit_order("paper", market(Side.BUY if sent % 2 else Side.SELL, "0.001"))
                sent += 1
            except RiskRejected:
                pass  # so soon; the next one may leave
            seq = oms._journal.seq
            await until(lambda seq=seq: oms._journal.seq > seq)  # type: ignore[misc]
            most = max(most, len(list_segments(tmp_path, "paper")))
        assert most <= 3


async def test_a_runner_that_dies_again_and_again_leaves_no_pile_of_files(tmp_path: Path) -> None:
    for _ in range(12):
        opened(tmp_path).close()
    assert len(list_segments(tmp_path, "paper")) == 1
    for _ in range(3):
        loop = make_loop(tmp_path)
        await loop.start()
        await trading(loop)
        await kill(loop)
    assert len(list_segments(tmp_path, "paper")) <= 4
