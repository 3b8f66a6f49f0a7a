"""What the tests of the event bus share: brokers with the rights that we print, and a reader of
its own that trusts nothing of the code under test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from tests.support.runner import runner_fixtures
from tests.support.runner.process import cli
from tests.support.services.kafka.server import Kafka
from tests.support.services.tls import Authority
from tradepulse_runner.bus.publisher import Publisher
from tradepulse_runner.config.bus import EventBusConfig, Stream, dead_topic, retry_topic
from tradepulse_runner.domain import Order, OrderStatus, Side
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.oms.state import OrderRecord

RUNNER, READER = "runner", "recorder"
#: A group of another program, which the runner may ask for.
GROUP = "settlement"
SCRAM_USER, SCRAM_PASSWORD = "scram-runner-user", "scram-runner-password"
TOPICS = [f"tradepulse.{stream}" for stream in Stream]


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    key: str
    id: str
    headers: Mapping[str, bytes]
    value: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.value)
        return found


def settings(kafka: Kafka, folder: Path, name: str = RUNNER, **changes: Any) -> dict[str, Any]:
    """``event_bus`` of ``name``, whose certificate is copied to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    certify(kafka.authority, folder, name, kafka.authority)
    return {
        "bootstrap_servers": kafka.servers(1).split(","),
        "security_protocol": "SSL",
        "ssl_cafile": str(folder / "ca.pem"),
        "ssl_certfile": str(folder / "tls.crt"),
        "ssl_keyfile": str(folder / "tls.key"),
        **changes,
    }


def certify(authority: Authority, folder: Path, name: str, *trusted: Authority) -> None:
    """Give ``folder`` a certificate of ``authority``, as an agent does: a file after the other."""
    pair = authority.issue(name)
    ca = b"".join(each.certificate.read_bytes() for each in trusted)
    for file, content in (
        ("ca.pem", ca),
        ("tls.crt", pair.certificate.read_bytes()),
        ("tls.key", pair.key.read_bytes()),
    ):
        temp = folder / f".{file}"
        temp.write_bytes(content)
        temp.rename(folder / file)


def prepare(kafka: Kafka, folder: Path) -> None:
    """Topics, and the rights that our own command prints; nothing else is allowed."""
    every = [name for t in TOPICS for name in (t, retry_topic(t), dead_topic(t))]
    asyncio.run(kafka.create_topics([*every, "elsewhere"]))
    path = folder / "runner.yaml"
    bus = settings(kafka, folder, readers=[GROUP])
    path.write_text(yaml.safe_dump(runner_fixtures.config(folder, event_bus=bus)))
    words = ("--reader", f"User:CN={READER}", "--command-config", str(kafka.command_config()))
    printed = cli("bus", "acls", "--config", str(path), *words)
    assert printed.exit_code == 0, printed.output
    lines = printed.output.splitlines()
    assert len(lines) == 4
    with ThreadPoolExecutor(len(lines)) as pool:
        list(pool.map(kafka.acls, lines))


def publisher(
    config: EventBusConfig,
    folder: Path,
    name: str,
    step: Step = no_fault,
    registry: CollectorRegistry | None = None,
) -> Publisher:
    return Publisher(config, name, folder, registry or CollectorRegistry(), {}, step=step)


def config(kafka: Kafka, folder: Path, name: str = RUNNER, **changes: Any) -> EventBusConfig:
    return EventBusConfig.model_validate(settings(kafka, folder, name, **changes))


def happen(bus: Publisher, number: int, *, symbol: str = "BTC-USD") -> None:
    """Journal record ``number`` of a venue: an order's."""
    order = Order(symbol, Side.BUY, Decimal(1), price=Decimal(100), algo="test")
    entry = OrderRecord(f"order-{number}", order, OrderStatus.PENDING, 1, 0.0)
    bus.recorded("paper", number, {"t": "intent", "id": entry.client_id, "epoch": 1}, entry)


async def read(kafka: Kafka, *topics: str) -> list[Message]:
    """Everything in ``topics``, as an administrator who belongs to no group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.servers(1),
        security_protocol="SSL",
        ssl_context=kafka.context(),
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topic, n) for topic in topics for n in range(3)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        found: list[Message] = []
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += [_message(each) for each in batch]
        return found
    finally:
        await consumer.stop()


async def commit(kafka: Kafka, topic: str, places: dict[int, int]) -> None:
    """What a reader of the group does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.servers(1),
        security_protocol="SSL",
        ssl_context=kafka.context(),
        group_id=GROUP,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        where = {TopicPartition(topic, partition): at for partition, at in places.items()}
        consumer.assign(list(where))
        await consumer.commit(where)
    finally:
        await consumer.stop()


def _message(raw: Any) -> Message:
    headers = dict(raw.headers)
    name = headers.get("event-id", b"").decode()
    return Message(raw.topic, (raw.key or b"").decode(), name, headers, raw.value)


def of(messages: list[Message], runner: str) -> list[Message]:
    return [each for each in messages if each.body["runner"] == runner]


async def until(
    ask: Callable[[], Awaitable[Any]], seconds: float = 60.0, every: float = 0.1
) -> Any:
    """The first truthy answer."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(every)
    return answer
