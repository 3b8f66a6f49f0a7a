"""Publishes the loop's events: appends them to the outbox and sends them to the brokers.

A call from the loop costs one write to the kernel and never raises. Sending runs in its own task,
which reconnects with exponential backoff.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tradepulse_runner.bus.bars import Bars
from tradepulse_runner.bus.client import ClientSecurity
from tradepulse_runner.bus.events import Event, EventFactory
from tradepulse_runner.bus.metrics import PublisherMetrics
from tradepulse_runner.bus.offsets import Offsets
from tradepulse_runner.bus.outbox import Entry, Outbox
from tradepulse_runner.bus.producer import Producer, explain
from tradepulse_runner.config.bus import EventBusConfig, Stream
from tradepulse_runner.domain import Order
from tradepulse_runner.errors import BusError, ConfigError, DurabilityLost, RunnerError
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.oms.state import OrderRecord
from tradepulse_runner.venues.base import ExecutionConnector

log = logging.getLogger(__name__)
#: Entries in flight at once. All are acknowledged before the next chunk is sent, so that events of
#: a symbol stay in order across failures.
CHUNK = 500
#: Seconds between two polls of the credential files and saves of the cursor.
INTERVAL = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
#: Seconds that a stop waits for unpublished events; the next process publishes the rest.
GRACE = 2.0


class Publisher:
    """The bus of one runner (``namespace/name``). ``clock`` gives unix seconds."""

    def __init__(
        self,
        config: EventBusConfig,
        runner: str,
        state_dir: Path,
        registry: CollectorRegistry,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
        step: Step = no_fault,
    ) -> None:
        self._config, self._clock, self._step = config, clock, step
        self._name = runner.replace("/", ".")
        self._events = EventFactory(runner, clock)
        self._security = ClientSecurity(config, environment)
        self._outbox = Outbox(state_dir, config.outbox_max_bytes, clock=clock, step=step)
        self._opened = asyncio.Event()
        self._metrics = PublisherMetrics(registry, config)
        self._metrics.depth.set_function(lambda: self._outbox.depth)
        self._metrics.bytes.set_function(lambda: self._outbox.bytes)
        self._metrics.age.set_function(lambda: self._outbox.age)
        self._offsets = Offsets(config, self._name, registry, environment, clock=clock)
        self._bars = Bars()
        self._prices: dict[tuple[str, str], float] = {}
        self._problem = ""
        self.connections = 0  # made by this process
        self._task: asyncio.Task[None] | None = None
        self._auxiliary: list[asyncio.Task[None]] = []

    # -- what the loop calls ---------------------------------------------------------------

    def recorded(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record was written to the journal of ``venue``."""
        if self._ready():
            self._put(self._events.record(venue, seq, record, order))

    def replayed(
        self, venue: str, seq: int, record: dict[str, Any], order: OrderRecord | None
    ) -> None:
        """A record read from the journal at start: published if the previous process was killed
        before it could append it to the outbox."""
        if self._ready():
            known = self._outbox.last_sequence(venue)
            if known is not None and seq > known:
                self._put(self._events.record(venue, seq, record, order))

    def opened(self, venue: str, seq: int) -> None:
        """The journal of ``venue`` was read up to ``seq``. It may be older than before, after a
        restore or with a new state directory."""
        if self._ready():
            self._outbox.mark_position(venue, seq)

    def signalled(self, venue: str, order: Order) -> None:
        """The strategy signalled ``order``."""
        if self._ready():
            self._put(self._events.signal(venue, order))

    def _ready(self) -> bool:
        """Open the outbox on first use, when the state directory is locked by this process."""
        if not self._opened.is_set() and not self._problem:
            try:
                self._outbox.open()
                self._opened.set()
            except (OSError, RunnerError) as error:
                self._report_problem(f"the outbox cannot be used: {error}")
        return self._opened.is_set()

    def _put(self, event: Event | None) -> None:
        if event is None or event.stream not in self._config.publish:
            return
        if not self._outbox.put(event):
            self._count(event.stream, "dropped")

    def _count(self, stream: Stream, outcome: str, number: int = 1) -> None:
        self._metrics.events.labels(self._config.topic(stream), outcome).inc(number)

    # -- life ------------------------------------------------------------------------------

    def start(self, connectors: Mapping[str, ExecutionConnector]) -> None:
        """Start publishing; returns at once."""
        self._task = asyncio.create_task(self._run(), name="bus")
        self._auxiliary = [asyncio.create_task(self._offsets.run(), name="bus-offsets")]
        if self._config.publish & {Stream.TICKS, Stream.BARS}:
            watch = asyncio.create_task(self._sample_prices(connectors), name="bus-ticks")
            self._auxiliary.append(watch)

    async def stop(self) -> None:
        """Publish the rest for up to ``GRACE`` seconds; the next process publishes what is left."""
        for each in self._auxiliary:
            each.cancel()
        with contextlib.suppress(TimeoutError):
            if self._opened.is_set() and not self._problem:
                async with asyncio.timeout(GRACE):
                    await self.drain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task, *self._auxiliary})
        with contextlib.suppress(
            DurabilityLost
        ):  # they would be published twice, under the same ids
            if self._opened.is_set():
                await self._outbox.save()
        self._outbox.close()

    async def drain(self) -> None:
        """Wait until every event is acknowledged."""
        await self._outbox.empty.wait()

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""
        return {
            "problem": self._problem or self._offsets.problem or self._connection_problem(),
            "pending": self._outbox.depth,
            "age": round(self._outbox.age, 3),
            "dropped": sum(self._outbox.dropped.values()),
            **self._offsets.status(),
        }

    def _connection_problem(self) -> str:
        return "" if self.connections else "not connected yet"

    # -- publishing ------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run until cancelled; never raises anything else."""
        await self._opened.wait()
        pause = FIRST_PAUSE
        while True:
            try:
                await self._session()
                pause = FIRST_PAUSE
            except (BusError, ConfigError, DurabilityLost, OSError) as error:
                self._report_problem(str(error))
            except Exception as error:  # an unexpected error must not reach trading
                self._report_problem(f"unforeseen: {type(error).__name__}", error)
            if self._problem:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _session(self) -> None:
        """One connection, until it fails (raises :class:`BusError`) or there are newer
        credentials (returns)."""
        producer = Producer(self._config, self._security.options(), name=self._name)
        try:
            await producer.start()
            self._outbox.rewind()
            self.connections += 1
            # With a backlog, only an acknowledgement proves that the brokers accept events.
            if not self._outbox.depth:
                self._report_recovery()
            looked = time.monotonic()
            while True:
                await self._pump(producer)
                if time.monotonic() - looked > INTERVAL:
                    looked = time.monotonic()
                    await self._outbox.save()
                    if self._security.refresh():
                        log.info("bus.credentials_replaced")
                        return
        finally:
            await producer.close()

    async def _pump(self, producer: Producer) -> None:
        entries = self._outbox.read(CHUNK)
        if entries:
            await self._send(producer, entries)
            return
        try:
            async with asyncio.timeout(INTERVAL):
                await self._outbox.arrived.wait()
        except TimeoutError:
            return

    async def _send(self, producer: Producer, entries: list[Entry]) -> None:
        self._step("bus.produce")
        answers = await producer.send(entries)
        self._step("bus.acked")
        first: BaseException | None = None
        for entry, problem in zip(entries, answers, strict=True):
            first = first or problem
            if first is None:
                self._outbox.ack(entry)
            if entry.stream:
                self._count(entry.stream, "produced")
                self._count(entry.stream, "failed" if problem else "acked")
        if first is not None:
            raise BusError(explain(first))
        self._report_recovery()

    async def _sample_prices(self, connectors: Mapping[str, ExecutionConnector]) -> None:
        await self._opened.wait()
        while True:
            for venue, connector in connectors.items():
                for symbol in sorted(connector.symbols):
                    self._sample(venue, symbol, connector)
            await asyncio.sleep(self._config.tick_interval)

    def _sample(self, venue: str, symbol: str, connector: ExecutionConnector) -> None:
        quote = connector.quote(symbol)
        if quote is None or self._prices.get((venue, symbol)) == quote.timestamp:
            return
        self._prices[venue, symbol] = quote.timestamp
        self._put(self._events.tick(venue, symbol, quote))
        if bar := self._bars.add(venue, symbol, quote.mid, quote.timestamp):
            self._put(self._events.bar(venue, symbol, bar))

    def _report_problem(self, problem: str, error: Exception | None = None) -> None:
        if problem != self._problem:
            log.warning(
                "bus.behind",
                extra={"why": problem, "waiting": self._outbox.depth},
                exc_info=error,
            )
        self._problem = problem
        self._metrics.up.set(0)

    def _report_recovery(self) -> None:
        if self._problem:
            log.info("bus.recovered", extra={"waiting": self._outbox.depth})
        self._problem = ""
        self._metrics.up.set(1)
