"""Builds the database writer of a loop."""

from __future__ import annotations

import time
from typing import Any

from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database.snapshots import Snapshots
from tradepulse_runner.database.writer import DatabaseWriter
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.strategy.base import StatefulStrategy


def build_database(
    config: DatabaseConfig, loop: LiveExecutionLoop, strategy: str
) -> DatabaseWriter:
    """Not started; add its ``recorder`` to the loop before the loop starts."""
    own = loop.config

    def state() -> dict[str, Any] | None:
        return loop.strategy.state() if isinstance(loop.strategy, StatefulStrategy) else None

    snapshots = Snapshots(
        own.state_dir, own.runner, loop.connectors, strategy, state, clock=time.time
    )
    return DatabaseWriter(
        config,
        own.runner,
        own.state_dir,
        loop.metrics.registry,
        snapshots,
        epoch=lambda: loop.epoch,
    )
