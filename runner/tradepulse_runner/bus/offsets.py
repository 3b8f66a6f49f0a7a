"""How far the topics are and how far they were read, asked of the brokers again and again.

``/status`` repeats the newest finding, and a cutover compares it with the one before. What counts
is what this process reaches, by its own certificate and from where it is: so it asks, not the
operator. A task of its own, which no order, no halt and no stop waits for; when it can't be told,
``problem`` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from prometheus_client import CollectorRegistry

from tradepulse_runner.bus.client import ClientSecurity
from tradepulse_runner.bus.metrics import ReaderMetrics
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.errors import BusError, ConfigError
from tradepulse_runner.timestamps import rfc3339

T = TypeVar("T")
log = logging.getLogger(__name__)
#: Seconds between two looks, and that one of them may take.
INTERVAL, PATIENCE = 5.0, 10.0
#: Milliseconds that one request may take.
REQUEST_MS = 3_000
#: Times that a request is made which another broker, or the same one soon, may answer.
ATTEMPTS, _RETRY_PAUSE = 4, 0.3
#: Partitions that are told at most: a status must stay small.
MAX_PARTITIONS = 256
_CLOSE_TIMEOUT = 1.0
_RIGHTS = "remedy: run what 'tradepulse-runner bus acls' prints"
_SILENT = (
    "the brokers don't say how far the topics are; remedy: look whether they run, and at the"
    " network policies"
)


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """A partition. ``end``: offset of the next message; ``committed``: by group that has."""

    topic: str
    partition: int
    end: int
    committed: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        result = {"topic": self.topic, "partition": self.partition, "end": self.end}
        return {**result, "committed": dict(self.committed)}


@dataclass(frozen=True, slots=True)
class OffsetsSnapshot:
    """What the brokers said at ``at`` (unix seconds); sorted by topic and partition."""

    at: float
    partitions: tuple[PartitionOffsets, ...]
    omitted: int


class Offsets:
    """Of the topics that ``config`` tells, and of its readers. ``clock`` gives unix seconds."""

    def __init__(
        self,
        config: EventBusConfig,
        name: str,
        registry: CollectorRegistry,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._config, self._name, self._clock = config, name, clock
        self._security = ClientSecurity(config, environment)
        self._metrics = ReaderMetrics(registry) if config.readers else None
        self._latest: OffsetsSnapshot | None = None
        self.problem = ""

    def status(self) -> dict[str, Any]:
        """The newest finding, for ``/status``: JSON values."""
        offsets = self._latest
        return {
            "at": rfc3339(offsets.at) if offsets else None,
            "partitions": [place.to_json() for place in offsets.partitions] if offsets else [],
            "partitions_left_out": offsets.omitted if offsets else 0,
        }

    async def run(self) -> None:
        """Until it is cancelled; fails never."""
        while True:
            try:
                await self._session()
                continue  # newer credentials: at once
            except (BusError, ConfigError) as error:
                self._report_problem(str(error))
            except (KafkaError, OSError, TimeoutError):
                self._report_problem(_SILENT)
            except Exception as error:  # whatever it is: the trading is not concerned
                self._report_problem(f"unforeseen: {type(error).__name__}", error)
            await asyncio.sleep(INTERVAL)

    async def _session(self) -> None:
        """One connection, until it fails (raises) or there are newer credentials (returns)."""
        reader = _OffsetsReader(self._config, self._security.options(), self._name)
        try:
            async with asyncio.timeout(PATIENCE):
                await reader.start()
            while True:
                async with asyncio.timeout(PATIENCE):
                    self._update(await reader.ask(self._clock))
                await asyncio.sleep(INTERVAL)
                if self._security.refresh():
                    return
        finally:
            await reader.close()

    def _update(self, snapshot: OffsetsSnapshot) -> None:
        if self.problem:
            log.info("bus.offsets_told_again")
        self._latest, self.problem = snapshot, ""
        if self._metrics:
            self._metrics.show(lags(snapshot.partitions))

    def _report_problem(self, problem: str, error: Exception | None = None) -> None:
        if problem != self.problem:
            log.warning("bus.offsets_unknown", extra={"why": problem}, exc_info=error)
        self.problem = problem
        if self._metrics:
            self._metrics.show({})  # an old lag would look like one of now


def lags(partitions: tuple[PartitionOffsets, ...]) -> dict[tuple[str, str], int]:
    """Messages that are left to read, by group and topic, where the group has committed."""
    result: dict[tuple[str, str], int] = {}
    for place in partitions:
        for group, offset in place.committed.items():
            key = (group, place.topic)
            result[key] = result.get(key, 0) + max(0, place.end - offset)
    return result


class _OffsetsReader:
    """One connection to the brokers; after an error it is closed and another one made."""

    def __init__(self, config: EventBusConfig, options: dict[str, Any], name: str) -> None:
        self._topics = sorted(config.topic(stream) for stream in config.publish)
        self._readers = config.readers
        own = {"client_id": f"{name}.offsets", "request_timeout_ms": REQUEST_MS}
        # Assigned nothing, so that it reads nothing: that would need another right.
        self._consumer = AIOKafkaConsumer(**options, **own, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**options, **own)

    async def start(self) -> None:
        await self._consumer.start()
        await self._admin.start()

    async def ask(self, clock: Callable[[], float]) -> OffsetsSnapshot:
        """Raises :class:`BusError`, KafkaError, TimeoutError."""
        every = await _retried(self._partitions)
        listed = every[:MAX_PARTITIONS]
        # First: whoever reads on meanwhile isn't before the end then.
        committed = {group: await self._committed(group, listed) for group in self._readers}
        ends = await self._consumer.end_offsets(listed) if listed else {}
        partitions = tuple(_partition_offsets(each, ends[each], committed) for each in listed)
        return OffsetsSnapshot(clock(), partitions, len(every) - len(listed))

    async def _partitions(self) -> list[TopicPartition]:
        """Of the topics that exist, sorted."""
        partitions: list[TopicPartition] = []
        for topic in await self._admin.describe_topics(self._topics):
            error = for_code(topic["error_code"])
            if error is TopicAuthorizationFailedError:
                raise BusError(f"topic {topic['topic']}: we may not ask how far it is; {_RIGHTS}")
            if error is not UnknownTopicOrPartitionError and topic["error_code"]:
                raise error()
            partitions += [
                TopicPartition(topic["topic"], p["partition"]) for p in topic["partitions"]
            ]
        return sorted(partitions)

    async def _committed(self, group: str, wanted: list[TopicPartition]) -> dict[Any, int]:
        """Where ``group`` goes on to read; partitions where it never committed left out."""

        async def ask() -> dict[Any, Any]:
            offsets = await self._admin.list_consumer_group_offsets(group, partitions=wanted)
            if len(offsets) < len(wanted):
                # How the client takes an error of the whole request. Rights were looked at when the
                # coordinator was asked for: this one doesn't know the group yet, or no more.
                raise GroupLoadInProgressError
            return dict(offsets)

        if not wanted:
            return {}
        try:
            offsets = await _retried(ask)
        except GroupAuthorizationFailedError:
            raise BusError(f"group {group}: we may not ask how far it is; {_RIGHTS}") from None
        return {each: place.offset for each, place in offsets.items() if place.offset >= 0}

    async def close(self) -> None:
        """Never raises, never takes long."""
        for client in (self._consumer.stop, self._admin.close):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await client()


def _partition_offsets(
    each: TopicPartition, end: int, committed: Mapping[str, Mapping[Any, int]]
) -> PartitionOffsets:
    known = {group: offsets[each] for group, offsets in committed.items() if each in offsets}
    return PartitionOffsets(each.topic, each.partition, end, known)


async def _retried(ask: Callable[[], Awaitable[T]]) -> T:
    """Requests go to any broker: one that was lost just now must not hide the others."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_RETRY_PAUSE)
    return await ask()
