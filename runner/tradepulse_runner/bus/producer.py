"""Publishes outbox entries: idempotent, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from tradepulse_runner.bus.events import ID_HEADER
from tradepulse_runner.bus.outbox import Entry
from tradepulse_runner.config.bus import EventBusConfig, Stream
from tradepulse_runner.errors import BusError

#: Milliseconds for which the client itself retries a request, e.g. after a lost leader.
REQUEST_MS = 10_000
#: Seconds after which an unresponsive client is closed.
TIMEOUT = 2 * REQUEST_MS / 1000 + 5
_CLOSE_TIMEOUT = 3.0


class Producer:
    """One connection; replaced after an error. ``options``: see
    ``client.ClientSecurity``."""

    def __init__(self, config: EventBusConfig, options: dict[str, Any], *, name: str) -> None:
        self._config = config
        self._client = AIOKafkaProducer(
            **options,
            client_id=name,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=REQUEST_MS,
            max_batch_size=256 << 10,
        )

    async def start(self) -> None:
        """Connect and check that every topic exists and is authorized. Raises :class:`BusError`."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            servers = ", ".join(self._config.bootstrap_servers)
            raise BusError(f"{servers}: {explain(error)}") from None
        for stream in sorted(self._config.publish):
            await self._require_topic(self._config.topic(stream))

    async def _require_topic(self, topic: str) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._client.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            raise BusError(f"topic {topic}: {explain(error)}") from None

    async def send(self, entries: Sequence[Entry]) -> list[BaseException | None]:
        """Publish ``entries``. Returns for each None when it is acknowledged, else the error."""
        try:
            async with asyncio.timeout(TIMEOUT):
                waiting = [await self._enqueue(entry) for entry in entries if entry.stream]
                answers = iter(await asyncio.gather(*waiting, return_exceptions=True))
        except (KafkaError, TimeoutError) as error:
            return [error] * len(entries)
        results = [next(answers) if entry.stream else None for entry in entries]
        return [each if isinstance(each, BaseException) else None for each in results]

    async def _enqueue(self, entry: Entry) -> asyncio.Future[Any]:
        assert entry.stream is not None
        future: asyncio.Future[Any] = await self._client.send(
            self._config.topic(Stream(entry.stream)),
            entry.value,
            key=entry.key.encode(),
            headers=[(ID_HEADER, entry.id.encode()), ("content-type", b"application/json")],
            timestamp_ms=int(entry.at * 1000),
        )
        return future

    async def close(self) -> None:
        """Close within three seconds; never raises."""
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._client.stop()


def explain(error: BaseException) -> str:
    """One sentence: why the brokers did not accept an event or a connection, and the remedy."""
    if isinstance(error, (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)):
        return "we may not write there; remedy: run what 'tradepulse-runner bus acls' prints"
    if isinstance(error, UnknownTopicOrPartitionError):
        return "there is no such topic; remedy: create it, and run what 'bus acls' prints"
    if isinstance(error, (TimeoutError, OSError)) and not isinstance(error, KafkaError):
        return "no answer; remedy: look whether the brokers run, and at the network policies"
    return (
        f"{type(error).__name__}; remedy: look whether the brokers run, believe our certificate or"
        " password, and are believed by ssl_cafile"
    )
