"""Polls the WAL positions of the primary and its replicas.

``/status`` shows the newest result, which a cutover compares with the one before. The runner asks,
not the operator, because its own certificate and network path are what counts. Runs in its own task
with its own connections, which nothing waits for.

The primary's position is taken first: a replica that has replayed up to there lacks nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import asyncpg

from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database.connection import (
    SERVER_STATE,
    Connection,
    file_versions,
    open_one,
    require_primary,
    tls,
)
from tradepulse_runner.database.errors import FAILURES, DatabaseError, explain
from tradepulse_runner.database.metrics import DatabaseMetrics
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.timestamps import rfc3339

log = logging.getLogger(__name__)
#: Seconds between two polls, and the timeout of a connect or a query.
INTERVAL, PATIENCE = 5.0, 3.0
_NO_PRIMARY = "there is no primary to compare with"
# What replicas can have: what is only written and not flushed yet isn't sent to them.
_POSITION = "SELECT pg_current_wal_flush_lsn()::text"
# The chain's last number: it begins with 1 and has no gap, so that nothing has to be counted.
_ROWS = "SELECT coalesce((SELECT seq FROM tradepulse.audit_heads WHERE runner = $1), 0)"
_REPLAYED = """
SELECT pg_last_wal_replay_lsn()::text AS lsn,
       extract(epoch FROM clock_timestamp() - coalesce(
           pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))::float8 AS seconds
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """State of one replica. ``lag_bytes``, ``lag_seconds``: None, with the ``problem``, while
    unknown."""

    host: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReplicationStatus:
    """``at``: when a primary answered last (unix seconds); what follows is of then, other than
    ``primary`` (None: none now) and ``replicas``. ``audit_rows``: of this runner's trail."""

    at: float | None = None
    primary: str | None = None
    system: str = ""
    timeline: int | None = None
    lsn: str | None = None
    audit_rows: int | None = None
    replicas: tuple[Replica, ...] = ()

    def to_json(self) -> dict[str, Any]:
        replicas = [asdict(replica) for replica in self.replicas]
        at = None if self.at is None else rfc3339(self.at)
        return {**asdict(self), "at": at, "replicas": replicas}


@dataclass(frozen=True, slots=True)
class _Answer:
    """Answer of one host: its row of ``SERVER_STATE``, or why there is none."""

    host: str
    server: Mapping[str, Any] | None = None
    problem: str = ""


class Replicas:
    """Polls the servers of ``config``. ``timelines()``: the newest timeline seen, by system.
    ``clock`` gives unix seconds."""

    def __init__(
        self,
        config: DatabaseConfig,
        runner: str,
        timelines: Callable[[], Mapping[str, str]],
        metrics: DatabaseMetrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        patience = min(PATIENCE, config.connect_timeout)
        limits = {"connect_timeout": patience, "command_timeout": PATIENCE}
        self._config = config.model_copy(update=limits)
        self._runner, self._timelines, self._clock = runner, timelines, clock
        self._metrics = metrics
        self._addresses = dict(zip(config.hosts, config.addresses, strict=True))
        self._open: dict[str, Connection] = {}
        self._context: ssl.SSLContext | None = None
        self._certificates: tuple[float, ...] = ()
        self._caught_up_at: dict[str, float] = {}  # last time without lag, monotonic seconds
        self._latest = ReplicationStatus()

    def status(self) -> dict[str, Any]:
        """The newest result, for ``/status``: JSON values."""
        return self._latest.to_json()

    async def run(self) -> None:
        """Run until cancelled; never raises anything else."""
        try:
            while True:
                try:
                    self._latest = await self._probe()
                except Exception as error:  # an unexpected error must not reach trading
                    log.warning("database.replicas_unknown", exc_info=error)
                    self._latest = self._without_primary([], f"unforeseen: {type(error).__name__}")
                self._export()
                await asyncio.sleep(INTERVAL)
        finally:
            self._close_all()

    def _close_all(self) -> None:
        for connection in self._open.values():
            connection.terminate()
        self._open.clear()

    def _export(self) -> None:
        self._metrics.replica_lag.clear()
        for each in self._latest.replicas:
            if each.lag_bytes is not None:
                self._metrics.replica_lag.labels(each.host).set(each.lag_bytes)

    # -- one poll --------------------------------------------------------------------------

    async def _probe(self) -> ReplicationStatus:
        try:
            await self._refresh_tls()
        except ConfigError as error:
            return self._without_primary([], str(error))
        hosts = self._config.hosts
        answers = await asyncio.gather(*(self._ask(host) for host in hosts))
        answers_checked = _one_primary([_checked(each, self._timelines()) for each in answers])
        primary = next((each for each in answers_checked if _is_primary(each)), None)
        if primary is None or primary.server is None:
            return self._without_primary(answers_checked, _NO_PRIMARY)
        try:
            lsn, rows = await self._primary_position(primary.host)
        except FAILURES as error:
            self._disconnect(primary.host)
            return self._without_primary(
                [replace(primary, server=None, problem=explain(error))], _NO_PRIMARY
            )
        others = [each for each in answers_checked if each.host != primary.host]
        return ReplicationStatus(
            self._clock(),
            primary.host,
            primary.server["system"],
            int(primary.server["timeline"], 16),
            lsn,
            rows,
            tuple(await asyncio.gather(*(self._replica(each, primary, lsn) for each in others))),
        )

    def _without_primary(self, answers: Sequence[_Answer], why: str) -> ReplicationStatus:
        """The last result without a primary, and for each host why its state is unknown."""
        known = {each.host: each.problem for each in answers}
        replicas = [Replica(host, problem=known.get(host) or why) for host in self._config.hosts]
        return replace(self._latest, primary=None, replicas=tuple(replicas))

    async def _refresh_tls(self) -> None:
        """Reload rotated certificates. Raises :class:`ConfigError`."""
        certificates = file_versions(self._config)
        if self._context is None or certificates != self._certificates:
            self._close_all()
            self._context = await asyncio.to_thread(tls, self._config)
            self._certificates = certificates

    async def _ask(self, host: str) -> _Answer:
        try:
            if host not in self._open:
                assert self._context is not None
                where = self._addresses[host]
                self._open[host] = await open_one(self._config, *where, self._context)
            return _Answer(host, dict(await self._open[host].fetchrow(SERVER_STATE)))
        except FAILURES as error:
            self._disconnect(host)
            return _Answer(host, problem=explain(error))

    def _disconnect(self, host: str) -> None:
        if connection := self._open.pop(host, None):
            connection.terminate()

    async def _primary_position(self, host: str) -> tuple[str, int | None]:
        """Flushed WAL position of the primary, and the number of audit records, if readable."""
        connection = self._open[host]
        lsn = str(await connection.fetchval(_POSITION))
        try:
            return lsn, int(await connection.fetchval(_ROWS, self._runner))
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            return lsn, None  # the writer reports it, with the remedy

    async def _replica(self, each: _Answer, primary: _Answer, lsn: str) -> Replica:
        assert primary.server is not None
        if each.server is None or each.problem:
            return Replica(each.host, problem=each.problem)
        if each.server["system"] != primary.server["system"]:
            return Replica(each.host, problem=f"is no copy of {primary.host}, but another system")
        try:
            row = await self._open[each.host].fetchrow(_REPLAYED)
        except FAILURES as error:
            self._disconnect(each.host)
            return Replica(each.host, problem=explain(error))
        if row["lsn"] is None:
            return Replica(each.host, problem="has replayed nothing yet")
        return self._lag(each.host, lag_bytes(lsn, row["lsn"]), row["seconds"])

    def _lag(self, host: str, behind: int, seconds: float) -> Replica:
        """``seconds`` since the last transaction it has: on a quiet primary that is long ago, and
        the lag isn't longer than since it lacked nothing."""
        now = time.monotonic()
        if not behind:
            self._caught_up_at[host] = now
            return Replica(host, 0, 0.0)
        since = now - self._caught_up_at.get(host, -float("inf"))
        return Replica(host, behind, round(max(0.0, min(seconds, since)), 3))


def lag_bytes(primary: str, replica: str) -> int:
    """How much WAL lies between two positions, e.g. ``0/16B3748``; 0 when it is ahead."""
    return max(0, _number(primary) - _number(replica))


def _number(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _is_primary(each: _Answer) -> bool:
    return each.server is not None and not each.problem and not each.server["standby"]


def _checked(each: _Answer, timelines: Mapping[str, str]) -> _Answer:
    """With the problem of a server that should be the primary, and isn't any more."""
    if each.server is None or each.server["standby"]:
        return each
    try:
        require_primary(each.server, dict(timelines))
    except DatabaseError as error:
        return replace(each, problem=str(error))
    return each


def _one_primary(answers: Sequence[_Answer]) -> list[_Answer]:
    """Of several that could be written to, the one of the newest timeline leads."""
    leading = [each for each in answers if _is_primary(each)]
    if len(leading) < 2:
        return list(answers)
    best = max(leading, key=lambda each: str((each.server or {})["timeline"]))
    why = f"could be written to as well; remedy: make it a replica of {best.host}"
    return [
        replace(each, problem=why) if each in leading and each is not best else each
        for each in answers
    ]
