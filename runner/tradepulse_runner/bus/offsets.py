"""Polls the end offsets of the topics and the committed offsets of the reader groups.

``/status`` shows the newest snapshot, which a cutover compares with the one before. The runner
asks, not the operator, because its own certificate and network path are what counts. Runs in its
own task, which no order, halt or stop waits for; ``problem`` says why offsets are unknown.
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
#: Seconds between two polls, and the timeout of one.
INTERVAL, PATIENCE = 5.0, 10.0
#: Timeout of one request, milliseconds.
REQUEST_MS = 3_000
#: Attempts of a request after a retriable error, and seconds between them.
ATTEMPTS, _RETRY_PAUSE = 4, 0.3
#: Maximum number of partitions in /status.
MAX_PARTITIONS = 256
_CLOSE_TIMEOUT = 1.0
_RIGHTS = "remedy: run what 'tradepulse-runner bus acls' prints"
_SILENT = (
    "the brokers don't say how far the topics are; remedy: look whether they run, and at the"
    " network policies"
)


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """One partition. ``end``: offset of the next message; ``committed``: offset by group, only
    groups that have committed."""

    topic: str
    partition: int
    end: int
    committed: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        result = {"topic": self.topic, "partition": self.partition, "end": self.end}
        return {**result, "committed": dict(self.committed)}


@dataclass(frozen=True, slots=True)
class OffsetsSnapshot:
    """Offsets at ``at`` (unix seconds), sorted by topic and partition; ``omitted``: partitions
    beyond ``MAX_PARTITIONS``."""

    at: float
    partitions: tuple[PartitionOffsets, ...]
    omitted: int


class Offsets:
    """Polls the published topics and the reader groups. ``clock`` gives unix seconds."""

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
        """The newest snapshot, for ``/status``: JSON values."""
        offsets = self._latest
        return {
            "at": rfc3339(offsets.at) if offsets else None,
            "partitions": [place.to_json() for place in offsets.partitions] if offsets else [],
            "partitions_left_out": offsets.omitted if offsets else 0,
        }

    async def run(self) -> None:
        """Run until cancelled; never raises anything else."""
        while True:
            try:
                await self._session()
                continue  # newer credentials: at once
            except (BusError, ConfigError) as error:
                self._report_problem(str(error))
            except (KafkaError, OSError, TimeoutError):
                self._report_problem(_SILENT)
            except Exception as error:  # an unexpected error must not reach trading
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
            log.info("bus.offsets_known")
        self._latest, self.problem = snapshot, ""
        if self._metrics:
            self._metrics.show(lags(snapshot.partitions))

    def _report_problem(self, problem: str, error: Exception | None = None) -> None:
        if problem != self.problem:
            log.warning("bus.offsets_unknown", extra={"why": problem}, exc_info=error)
        self.problem = problem
        if self._metrics:
            self._metrics.show({})  # a stale lag would look current


def lags(partitions: tuple[PartitionOffsets, ...]) -> dict[tuple[str, str], int]:
    """Lag in messages by group and topic, for groups that have committed."""
    result: dict[tuple[str, str], int] = {}
    for place in partitions:
        for group, offset in place.committed.items():
            key = (group, place.topic)
            result[key] = result.get(key, 0) + max(0, place.end - offset)
    return result


class _OffsetsReader:
    """One connection to the brokers; replaced after an error."""

    def __init__(self, config: EventBusConfig, options: dict[str, Any], name: str) -> None:
        self._topics = sorted(config.topic(stream) for stream in config.publish)
        self._readers = config.readers
        own = {"client_id": f"{name}.offsets", "request_timeout_ms": REQUEST_MS}
        # No assignment: consuming would need the Read permission.
        self._consumer = AIOKafkaConsumer(**options, **own, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**options, **own)

    async def start(self) -> None:
        await self._consumer.start()
        await self._admin.start()

    async def ask(self, clock: Callable[[], float]) -> OffsetsSnapshot:
        """Raises :class:`BusError`, KafkaError, TimeoutError."""
        every = await _retried(self._partitions)
        listed = every[:MAX_PARTITIONS]
        # Before the end offsets: a group that advances meanwhile then never exceeds them.
        committed = {group: await self._committed(group, listed) for group in self._readers}
        ends = await self._consumer.end_offsets(listed) if listed else {}
        partitions = tuple(_partition_offsets(each, ends[each], committed) for each in listed)
        return OffsetsSnapshot(clock(), partitions, len(every) - len(listed))

    async def _partitions(self) -> list[TopicPartition]:
        """Partitions of the existing topics, sorted."""
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
        """Committed offsets of ``group``, without partitions where it never committed."""

        async def ask() -> dict[Any, Any]:
            offsets = await self._admin.list_consumer_group_offsets(group, partitions=wanted)
            if len(offsets) < len(wanted):
                # The client drops an error of the whole request. Permissions were checked when the
                # coordinator was found: this broker is not the group's coordinator (any more).
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
        """Close within two seconds; never raises."""
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
    """Retry retriable errors: the next attempt may reach another broker."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_RETRY_PAUSE)
    return await ask()
