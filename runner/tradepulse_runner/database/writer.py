"""Inserts the spool's records into the database.

Runs in its own task and reconnects with exponential backoff. While the database is down the spool
grows, and a log line and metrics report it; no order, halt or kill switch waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database import audit, schema
from tradepulse_runner.database.audit import Entry
from tradepulse_runner.database.connection import Connection, connect, file_versions
from tradepulse_runner.database.errors import FAILURES, explain
from tradepulse_runner.database.metrics import DatabaseMetrics
from tradepulse_runner.database.recorder import Recorder
from tradepulse_runner.database.replicas import Replicas
from tradepulse_runner.database.snapshots import Snapshots
from tradepulse_runner.errors import RunnerError
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.files.spool import Spool

log = logging.getLogger(__name__)
FOLDER = "database"
#: Maximum records of one transaction.
BATCH = 500
#: Seconds between two polls of the audit sources and the files, and saves of the spool.
INTERVAL = 1.0
#: Seconds that records are collected for one transaction.
LINGER = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
#: Seconds that a stop waits for unstored records; the next process stores the rest.
GRACE = 2.0


class DatabaseWriter:
    """``runner``: ``namespace/name``. ``epoch()``: the writer's. ``clock`` gives unix seconds."""

    def __init__(
        self,
        config: DatabaseConfig,
        runner: str,
        state_dir: Path,
        registry: CollectorRegistry,
        snapshots: Snapshots,
        *,
        epoch: Callable[[], int],
        clock: Callable[[], float] = time.time,
        step: Step = no_fault,
    ) -> None:
        self._config, self._runner, self._snapshots = config, runner, snapshots
        self._epoch, self._clock, self._step = epoch, clock, step
        self._spool = Spool(
            state_dir / FOLDER,
            most=config.spool_max_bytes,
            keep=config.spool_keep,
            clock=clock,
            step=step,
        )
        self.recorder = Recorder(state_dir, self._spool, epoch=epoch, clock=clock)
        self._metrics = DatabaseMetrics(registry)
        self._replicas = Replicas(config, runner, self._timelines, self._metrics, clock=clock)
        self._schema_version = max(each.version for each in schema.migrations())
        self._problem = "not connected yet"
        self._waiting_since = 0.0
        self._connected = self._stopping = self._resumed = False
        self._finished = asyncio.Event()  # everything is stored: a stop need not wait
        self._random = random.Random()
        self._tasks: list[asyncio.Task[None]] = []
        self._export_metrics()

    def _export_metrics(self) -> None:
        metrics = self._metrics
        metrics.up.set_function(lambda: float(self._connected))
        metrics.depth.set_function(lambda: self._spool.depth)
        metrics.bytes.set_function(lambda: self._spool.bytes)
        metrics.lag.set_function(lambda: self.lag)
        metrics.behind.set_function(lambda: float(self.recorder.behind))
        metrics.missed.set_function(lambda: self.recorder.missed)

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start; returns at once."""
        self._tasks = [
            asyncio.create_task(self.run(), name="database"),
            asyncio.create_task(self._replicas.run(), name="database-replicas"),
        ]

    async def stop(self) -> None:
        """Store the rest for up to ``GRACE`` seconds; the next process stores what is left."""
        self._stopping = True
        self._spool.arrived.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE if self._connected else 0):
                await self._finished.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(RunnerError, OSError):
            await self.recorder.save()
        self._spool.close()

    async def run(self) -> None:
        """Run until cancelled; never raises anything else."""
        await self.recorder.started.wait()
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._session()
                continue  # newer certificates: at once
            except (*FAILURES, RunnerError) as error:
                self._report_problem(explain(error))
            except Exception as error:  # an unexpected error must not reach trading
                self._report_problem(f"unforeseen: {type(error).__name__}", error)
            self._metrics.failures.inc()
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await self._housekeeping()
            await asyncio.sleep(self._random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""
        return {
            "connected": self._connected,
            "problem": self._problem or self.recorder.problem,
            "spool": self._spool.depth,
            "lag": round(self.lag, 3),
            "missed": self.recorder.missed,
            **self._replicas.status(),
        }

    @property
    def lag(self) -> float:
        """Seconds since records are waiting for the database; 0 when none are."""
        if not self._spool.depth:
            self._waiting_since = 0.0
            return 0.0
        self._waiting_since = self._waiting_since or self._clock()
        return max(0.0, self._clock() - self._waiting_since)

    # -- storing ---------------------------------------------------------------------------

    async def _session(self) -> None:
        """One connection, until it fails (raises) or the certificates are newer (returns)."""
        certificates = file_versions(self._config)
        connection = await connect(self._config, self._timelines())
        try:
            await schema.require(connection, self._schema_version)
            await self._resume(connection)
            self._report_connected()
            looked = 0.0
            while True:
                if not await self._store(connection):
                    await self._idle()
                if time.monotonic() - looked >= INTERVAL or self._stopping:
                    looked = time.monotonic()
                    await self._maintain(connection)
                    if file_versions(self._config) != certificates:
                        log.info("database.certificates_replaced")
                        return
        finally:
            self._connected = False
            connection.terminate()

    async def _maintain(self, connection: Connection) -> None:
        """Catch up, save the spool and store snapshots."""
        await self._housekeeping()
        rows = await self._snapshots.store(connection, self._epoch())
        self._metrics.rows.labels("snapshots").inc(rows)
        if self._stopping and not self._spool.depth:
            self._finished.set()

    async def _resume(self, connection: Connection) -> None:
        """Continue at the database's position: ahead of the spool's after a kill -9, behind it
        after the database lost records."""
        await self.recorder.catch_up()
        end = await audit.head(connection, self._runner, self._spool.origin)
        if not self._resumed and end.position > self._spool.recovered_seq:
            # The volume is older (power cut, restored snapshot): its numbers are reused for other
            # records. Send all of it under a new origin; duplicates are removed by their ids.
            log.warning("database.spool_was_set_back", extra={"position": end.position})
            self._spool.renew()
            end = replace(end, position=0)
        self._resumed = True
        reached, first = max(end.position, self._spool.notes.get("base", 0)), self._spool.first
        if reached + 1 < first:
            self.recorder.record_loss(reached + 1, first - 1)
        if end.position < self._spool.acked:
            extra = {"records": self._spool.acked - end.position}
            log.warning("database.was_set_back", extra=extra)
        self._spool.rewind(end.position)
        self._anchor(end)
        self._snapshots.reset()

    async def _store(self, connection: Connection) -> bool:
        """Store the next batch; True when there may be more."""
        records = self._spool.read(BATCH)
        if not records:
            return False
        entries = [(number, Entry.from_bytes(data)) for number, data in records]
        self._step("database.insert")
        end, rows = await audit.append(connection, self._runner, self._spool.origin, entries)
        self._step("database.committed")
        self._spool.ack(end.position)
        self._anchor(end)
        self._waiting_since = 0.0
        self._metrics.rows.labels("audit_records").inc(rows)
        return len(records) == BATCH

    async def _idle(self) -> None:
        await asyncio.sleep(LINGER)
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await self._spool.arrived.wait()

    async def _housekeeping(self) -> None:
        try:
            await self.recorder.catch_up()
            await self.recorder.save()
        except (RunnerError, OSError) as error:
            # Harmless: records sent again are skipped by their ids.
            log.warning("database.spool_not_saved", extra={"why": str(error)})

    def _anchor(self, end: audit.Head) -> None:
        """Save the end of the chain outside of the database, where it can't be tampered with."""
        self._spool.notes["anchor"] = {"seq": end.seq, "digest": end.digest}

    def _timelines(self) -> dict[str, str]:
        timelines: dict[str, str] = self._spool.notes.setdefault("timelines", {})
        return timelines

    def _report_problem(self, problem: str, error: Exception | None = None) -> None:
        if problem != self._problem:
            extra = {"why": problem, "waiting": self._spool.depth}
            log.warning("database.behind", extra=extra, exc_info=error)
        self._problem = problem

    def _report_connected(self) -> None:
        log.info("database.connected", extra={"waiting": self._spool.depth})
        self._problem, self._connected = "", True
