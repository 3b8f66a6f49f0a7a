"""Forwards new audit records to the SIEM.

One batch after the other, in order. A refused record is never skipped: an attacker could otherwise
forge one to hide the records behind it. Exponential backoff with jitter, up to a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from tradepulse_runner.config.siem import SiemConfig
from tradepulse_runner.errors import RunnerError
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.siem.client import SiemClient, SiemError
from tradepulse_runner.siem.position import TrailReader

log = logging.getLogger(__name__)
#: Seconds between two polls of the trail while everything is acknowledged.
POLL_INTERVAL = 0.5
#: Backoff after a failure, seconds: minimum, first maximum, maximum.
SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.1, 0.5, 60.0


class ForwardMetrics:
    """Metrics of the forwarding, registered only where a SIEM is configured."""

    def __init__(self, registry: CollectorRegistry, lag: Callable[[], tuple[int, float]]) -> None:
        Gauge(
            "tradepulse_siem_lag_records",
            "Audit records that the SIEM has not acknowledged yet.",
            registry=registry,
        ).set_function(lambda: float(lag()[0]))
        Gauge(
            "tradepulse_siem_lag_seconds",
            "Age of the oldest audit record that the SIEM has not acknowledged; 0: it has all.",
            registry=registry,
        ).set_function(lambda: lag()[1])
        self.up = Gauge(
            "tradepulse_siem_up",
            "1 while forwarding succeeds, or none is needed.",
            registry=registry,
        )
        self.up.set(1)
        self.records = Counter(
            "tradepulse_siem_records",
            "Audit records acknowledged by the SIEM.",
            registry=registry,
        )
        self.batches = Counter(
            "tradepulse_siem_batches",
            "Batches of audit records: ok (acknowledged), or error (an attempt that is retried).",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("ok", "error"):
            self.batches.labels(outcome)


class Forwarder:
    """Forwards ``audit``, whose newest durable record is ``newest()``. ``clock``: unix seconds."""

    def __init__(
        self,
        config: SiemConfig,
        client: SiemClient,
        audit: Path,
        newest: Callable[[], int],
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.time,
        step: Step = no_fault,
    ) -> None:
        self._client, self._newest, self._clock, self._step = client, newest, clock, step
        self._reader = TrailReader(audit, config.endpoint, step=step)
        self._most = self._batch = config.batch
        self._oldest = clock()
        self._problem = ""
        self._metrics = ForwardMetrics(registry, self._lag)
        pause = wait_random_exponential(
            multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, min=SHORTEST_PAUSE
        )

        def wait(state: RetryCallState) -> float:
            return max(pause(state), _retry_after(state))

        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception), wait=wait, before_sleep=self._record_failure
        )

    async def run(self) -> None:
        """Run until cancelled; never raises anything else."""
        try:
            while True:
                if not await self._retrying(self.forward):
                    await asyncio.sleep(POLL_INTERVAL)
        finally:
            await self._client.close()

    async def forward(self) -> bool:
        """Send the next batch and save that it was acknowledged; False when nothing is due."""
        newest = self._newest()
        if newest <= self._reader.position.seq:
            return False
        batch = await asyncio.to_thread(self._reader.batch, newest, self._most)
        if batch is None:
            return False
        self._oldest = batch.records[0].at
        await self._client.send(batch.records)
        self._step("acknowledged")
        await asyncio.to_thread(self._reader.acknowledge, batch)
        self._record_success(len(batch.records))
        self._oldest = batch.records[-1].at
        return True

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""
        return {"pending": self._lag()[0], "problem": self._problem}

    def _lag(self) -> tuple[int, float]:
        """Records and seconds; costs nothing, however long the trail is."""
        records = max(0, self._newest() - self._reader.position.seq)
        return records, max(0.0, self._clock() - self._oldest) if records else 0.0

    def _record_success(self, records: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.batches.labels("ok").inc()
        self._metrics.up.set(1)
        self._most = min(self._batch, 2 * self._most)
        if self._problem:
            log.info("siem.recovered", extra={"pending": self._lag()[0]})
        self._problem = ""

    def _record_failure(self, state: RetryCallState) -> None:
        assert state.outcome is not None  # called after an attempt
        error = state.outcome.exception()
        foreseen = isinstance(error, (RunnerError, OSError))
        problem = str(error) if foreseen else f"unforeseen: {type(error).__name__}"
        self._metrics.batches.labels("error").inc()
        self._metrics.up.set(0)
        if isinstance(error, SiemError) and error.too_large:
            self._most = max(1, self._most // 2)
        if problem != self._problem:
            extra = {"why": problem, "pending": self._lag()[0]}
            log.warning("siem.behind", extra=extra, exc_info=None if foreseen else error)
        self._problem = problem


def _retry_after(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.wait if isinstance(error, SiemError) else 0.0
