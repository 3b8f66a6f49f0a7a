"""A process that journals records and brings them to the database, and may kill itself on the way.

``CONFIG STATE_DIR RUNNER RECORDS STEP NTH``: SIGKILL to itself at the NTH announcement of STEP.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from tests.support.runner.runner_fixtures import until
from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database.snapshots import Snapshots
from tradepulse_runner.database.writer import DatabaseWriter
from tradepulse_runner.oms.journal import Journal

VENUE = "paper"


def dies_at(step: str, nth: int) -> Callable[[str], None]:
    seen = 0

    def hook(name: str) -> None:
        nonlocal seen
        seen += name == step
        if seen == nth and name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


async def main(
    config: DatabaseConfig, state_dir: Path, runner: str, goal: int, step: str, nth: int
) -> None:
    journal = Journal(state_dir, VENUE)
    writer = DatabaseWriter(
        config,
        runner,
        state_dir,
        CollectorRegistry(),
        Snapshots(state_dir, runner, [VENUE], "none", lambda: None, clock=time.time),
        epoch=lambda: 1,
        step=dies_at(step, nth),
    )
    journal.recover(state_dir)
    writer.recorder.opened(VENUE, journal.seq)
    writer.start()
    while journal.seq < goal:
        record = {"t": "status", "id": f"order-{journal.seq + 1}", "status": "open"}
        writer.recorder.recorded(VENUE, journal.append(record), record, None)
        if journal.seq % 50 == 0:
            await asyncio.sleep(0.005)
    await until(lambda: writer.status()["connected"] and not writer.status()["spool"], seconds=60)
    await writer.stop()


if __name__ == "__main__":
    config, folder, runner, goal, step, nth = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    known = DatabaseConfig.model_validate_json(Path(config).read_bytes())
    asyncio.run(main(known, Path(folder), runner, int(goal), step, int(nth)))
