"""Copies OMS snapshots and the strategy's state into the database, the newest ``KEEP`` of each.

The files on the state volume are the source. After every reconnect they are stored again, as the
database may have lost rows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tradepulse_runner.database.connection import Connection
from tradepulse_runner.errors import StateError
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import Snapshot, canonical, read_snapshot

#: Generations kept of each snapshot, and states of each strategy.
KEEP = 20
#: Seconds between two copies of the strategy's state.
STATE_INTERVAL = 10.0
_PRUNE_OMS = """
DELETE FROM tradepulse.oms_snapshots WHERE runner = $1 AND venue = $2 AND (generation, sha256)
NOT IN (SELECT generation, sha256 FROM tradepulse.oms_snapshots
        WHERE runner = $1 AND venue = $2 ORDER BY stored_at DESC LIMIT $3)
"""
_PRUNE_STATES = """
DELETE FROM tradepulse.strategy_states WHERE runner = $1 AND strategy = $2 AND at
NOT IN (SELECT at FROM tradepulse.strategy_states
        WHERE runner = $1 AND strategy = $2 ORDER BY at DESC LIMIT $3)
"""


class Snapshots:
    """``strategy``: its name; ``state()``: its state as JSON; None if it has none."""

    def __init__(
        self,
        state_dir: Path,
        runner: str,
        venues: Iterable[str],
        strategy: str,
        state: Callable[[], dict[str, Any] | None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._state_dir, self._runner, self._venues = state_dir, runner, list(venues)
        self._strategy, self._state, self._clock = strategy, state, clock
        self._seen: dict[str, tuple[int, int]] = {}
        self._stored_digest, self._due = "", 0.0

    def reset(self) -> None:
        """Forget what is stored: store everything again."""
        self._seen.clear()
        self._stored_digest, self._due = "", 0.0

    async def store(self, connection: Connection, epoch: int) -> int:
        """Store what is new; returns the number of rows."""
        rows = 0
        for venue in self._venues:
            rows += await self._store_oms(connection, venue, epoch)
        return rows + await self._store_state(connection, epoch)

    async def _store_oms(self, connection: Connection, venue: str, epoch: int) -> int:
        path = self._state_dir / f"{venue}_oms.json"
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
            if self._seen.get(venue) == seen:
                return 0
            snapshot, text = await asyncio.to_thread(_read, path)
        except (FileNotFoundError, StateError):
            return 0  # none yet; a damaged one is reported at start
        async with connection.transaction():
            answer = await connection.execute(
                "INSERT INTO tradepulse.oms_snapshots"
                " (runner, venue, generation, sha256, epoch, payload)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                *(self._runner, venue, snapshot.generation, snapshot.sha256, epoch, text),
            )
            await connection.execute(_PRUNE_OMS, self._runner, venue, KEEP)
        self._seen[venue] = seen
        return _count(answer)

    async def _store_state(self, connection: Connection, epoch: int) -> int:
        now = self._clock()
        state = self._state() if now >= self._due else None
        if state is None:
            return 0
        self._due = now + STATE_INTERVAL
        text = canonical(state).decode()
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest == self._stored_digest:
            return 0
        async with connection.transaction():
            answer = await connection.execute(
                "INSERT INTO tradepulse.strategy_states"
                " (runner, strategy, at, sha256, epoch, payload)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                *(self._runner, self._strategy, now, digest, epoch, text),
            )
            await connection.execute(_PRUNE_STATES, self._runner, self._strategy, KEEP)
        self._stored_digest = digest
        return _count(answer)


def _read(path: Path) -> tuple[Snapshot, str]:
    snapshot = read_snapshot(path, ORDER_BOOK)
    return snapshot, canonical(snapshot.payload).decode()


def _count(answer: str) -> int:
    """Rows of ``INSERT 0 n``."""
    return int(answer.rsplit(" ", 1)[-1])
