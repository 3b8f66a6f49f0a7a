"""Consumes topics, handles each event once, and commits offsets only after the effect is on disk.

A ``Ledger`` (SQLite) stores the ids of handled events; the handler writes in the same transaction,
so its effect and the id are on disk together or not at all. Offsets are committed afterwards: after
a crash between the two the event is delivered again, and the ledger skips it.

An event whose handling fails goes to ``<topic>.retry`` with its attempt number and a delay; after
the last attempt to ``<topic>.dlq``. Neither delays the events behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from tradepulse_runner.bus.client import ClientSecurity
from tradepulse_runner.bus.events import ID_HEADER
from tradepulse_runner.bus.metrics import ConsumerMetrics
from tradepulse_runner.config.bus import EventBusConfig, dead_topic, retry_topic
from tradepulse_runner.errors import BusError, ConfigError
from tradepulse_runner.files.snapshot import Step, no_fault

log = logging.getLogger(__name__)
ATTEMPT_HEADER, ERROR_HEADER, TOPIC_HEADER = "attempt", "error", "origin"
_NOT_BEFORE = "not-before"
#: Times that an event is tried, and seconds between two of them.
ATTEMPTS, RETRY_PAUSE = 3, 5.0
#: Messages that share a transaction.
BATCH = 500
_POLL_MS = 200
#: Seconds between two queries of the topics' end offsets.
LAG_INTERVAL = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """A consumed event. ``topic``: the one it was first published to; ``body``: its JSON."""

    id: str
    topic: str
    key: str
    body: dict[str, Any]
    attempt: int


#: Writes the effect of an event with the cursor of the ledger's transaction; raises to have the
#: event tried again. Called once for each id, except for retries.
Handler = Callable[[sqlite3.Connection, Received], None]


class Ledger:
    """Ids of handled events, in the SQLite file ``path``; handlers keep their tables there too."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS handled (id TEXT PRIMARY KEY, at REAL) WITHOUT ROWID"
        )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """On disk at its end, or not at all."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def mark_handled(self, name: str) -> bool:
        """Record ``name`` as handled; False when it was already."""
        row = "INSERT OR IGNORE INTO handled VALUES (?, ?)"
        return self.connection.execute(row, (name, time.time())).rowcount == 1

    def attempt(self, handler: Handler, event: Received) -> Exception | None:
        """Call ``handler`` in a savepoint; returns its exception after rolling back to it."""
        self.connection.execute("SAVEPOINT attempt")
        try:
            handler(self.connection, event)
        except Exception as error:
            self.connection.execute("ROLLBACK TO attempt")
            return error
        finally:
            self.connection.execute("RELEASE attempt")
        return None

    def close(self) -> None:
        self.connection.close()


class Consumer:
    """One member of the configuration's group. ``topics``: without ``.retry``."""

    def __init__(
        self,
        config: EventBusConfig,
        topics: Sequence[str],
        handler: Handler,
        ledger: Ledger,
        registry: CollectorRegistry,
        environment: Mapping[str, str],
        *,
        retry_pause: float = RETRY_PAUSE,
        step: Step = no_fault,
    ) -> None:
        self._config, self._handler, self._ledger = config, handler, ledger
        self._topics = [name for topic in topics for name in (topic, retry_topic(topic))]
        self._security = ClientSecurity(config, environment)
        self._metrics = ConsumerMetrics(registry, self._topics)
        self._pause, self._step = retry_pause, step
        self._resume: dict[TopicPartition, float] = {}
        self._handled: dict[TopicPartition, int] = {}
        self._lag_updated_at = 0.0
        self.problem = ""

    async def run(self) -> None:
        """Run until cancelled; reconnects with exponential backoff."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._session()
                pause = FIRST_PAUSE
            except (KafkaError, BusError, ConfigError, OSError, sqlite3.Error) as error:
                # The client's own error texts may contain secrets: only their type is logged.
                known = isinstance(error, (BusError, ConfigError, sqlite3.Error))
                self.problem = str(error) if known else type(error).__name__
                log.warning("bus.consumer_behind", extra={"why": self.problem})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _session(self) -> None:
        """One connection, until it fails or there are newer credentials."""
        options = self._security.options()
        consumer = AIOKafkaConsumer(
            *self._topics,
            **options,
            group_id=self._config.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=10_000,
            metadata_max_age_ms=30_000,
        )
        producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True)
        async with contextlib.AsyncExitStack() as stack:
            await consumer.start()
            stack.push_async_callback(consumer.stop)
            await producer.start()
            stack.push_async_callback(producer.stop)
            self._resume.clear()
            self._handled.clear()
            self.problem = ""
            while not self._security.refresh():
                await self._poll(consumer, producer)

    async def _poll(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        await self._update_lag(consumer)  # first: a failing ledger must not hide the lag
        self._resume_due(consumer)
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=BATCH)
        offsets: dict[TopicPartition, int] = {}
        routed: list[tuple[str, Any, Received, Exception]] = []
        with self._ledger.transaction():
            for partition, messages in batches.items():
                for message in messages:
                    if self._too_early(consumer, partition, message):
                        break
                    self._handle(message, routed)
                    offsets[partition] = message.offset + 1
            # Inside the transaction: failed events are in .retry or .dlq before it commits.
            await self._route(producer, routed)
        self._step("consumer.handled")
        if offsets:
            await consumer.commit(offsets)
        self._step("consumer.committed")
        self._handled.update(offsets)

    def _handle(self, message: Any, routed: list[tuple[str, Any, Received, Exception]]) -> None:
        event = received(message)
        error: Exception | None = None
        # An id is recorded once handled or dead; a failed attempt once it is published again.
        if isinstance(event, Received):
            if not self._ledger.mark_handled(event.id):
                self._count(message.topic, "repeated")
                return
            error = self._ledger.attempt(self._handler, event)
        else:
            event, error = event
        if error is None:
            self._count(message.topic, "handled")
            return
        dead = event.attempt >= ATTEMPTS
        if not dead:
            self._ledger.connection.execute("DELETE FROM handled WHERE id = ?", (event.id,))
        if self._ledger.mark_handled(f"{event.id}#{event.attempt}"):
            target = dead_topic(event.topic) if dead else retry_topic(event.topic)
            routed.append((target, message, event, error))
            self._count(message.topic, "dead" if dead else "retried")
        else:
            self._count(message.topic, "repeated")

    async def _route(
        self,
        producer: AIOKafkaProducer,
        routed: list[tuple[str, Any, Received, Exception]],
    ) -> None:
        for target, message, event, error in routed:
            headers = [
                (ID_HEADER, event.id.encode()),
                (TOPIC_HEADER, event.topic.encode()),
                (ATTEMPT_HEADER, str(event.attempt + 1).encode()),
                (ERROR_HEADER, f"{type(error).__name__}: {error}"[:500].encode()),
                (_NOT_BEFORE, repr(time.time() + self._pause).encode()),
            ]
            await producer.send_and_wait(
                target, message.value or b"", key=message.key, headers=headers
            )
            extra = {"id": event.id, "to": target, "attempt": event.attempt}
            log.warning("bus.not_handled", extra={**extra, "why": type(error).__name__})

    def _too_early(self, consumer: AIOKafkaConsumer, partition: TopicPartition, m: Any) -> bool:
        """Pause the partition when ``m`` is a retry that isn't due yet."""
        due = _number(_headers(m).get(_NOT_BEFORE, b"0"))
        if not partition.topic.endswith(".retry") or due <= time.time():
            return False
        consumer.pause(partition)
        consumer.seek(partition, m.offset)
        self._resume[partition] = due
        return True

    def _resume_due(self, consumer: AIOKafkaConsumer) -> None:
        for partition, due in list(self._resume.items()):
            if due <= time.time():
                del self._resume[partition]
                if partition in consumer.assignment():
                    consumer.resume(partition)

    async def _update_lag(self, consumer: AIOKafkaConsumer) -> None:
        """Update the lag series; offsets committed by this process are cached."""
        if time.monotonic() < self._lag_updated_at + LAG_INTERVAL:
            return
        self._lag_updated_at = time.monotonic()
        ends = await consumer.end_offsets(sorted(consumer.assignment()))
        for partition, end in ends.items():
            if partition not in self._handled:
                self._handled[partition] = await consumer.committed(partition) or 0
            series = self._metrics.lag.labels(partition.topic, partition.partition)
            series.set(max(0, end - self._handled[partition]))

    def _count(self, topic: str, outcome: str) -> None:
        self._metrics.handled.labels(topic, outcome).inc()


def received(message: Any) -> Received | tuple[Received, Exception]:
    """Parse ``message``; returns the error too when its body is not a JSON object."""
    headers = _headers(message)
    place = f"{message.topic}/{message.partition}/{message.offset}"
    topic = headers.get(TOPIC_HEADER, b"").decode(errors="replace") or message.topic
    event = Received(
        headers.get(ID_HEADER, b"").decode(errors="replace") or place,
        topic.removesuffix(".retry"),
        (message.key or b"").decode(errors="replace"),
        {},
        max(1, int(_number(headers.get(ATTEMPT_HEADER, b"1")))),
    )
    try:
        body = json.loads(message.value or b"")
        if not isinstance(body, dict):
            raise ValueError(f"a {type(body).__name__}, not a JSON object")
    except ValueError as error:
        return event, error
    return Received(event.id, event.topic, event.key, body, event.attempt)


def _headers(message: Any) -> dict[str, bytes]:
    return {name: value for name, value in message.headers if value is not None}


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
