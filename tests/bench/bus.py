"""What the outbox costs beside a bare aiokafka loop, and a broker's loss: ``make bench-bus``."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.services.kafka.server import Kafka
from tradepulse_runner.bus.publisher import Publisher
from tradepulse_runner.config.bus import EventBusConfig, Stream
from tradepulse_runner.domain import Order, OrderStatus, OrderType, Side
from tradepulse_runner.files.snapshot import canonical
from tradepulse_runner.oms.state import OrderRecord, order_to_json

TOPIC = f"tradepulse.{Stream.ORDERS}"
SYMBOLS = 7
#: Events a second while latency is measured: what a busy runner tells.
RATE = 200
Put = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Load:
    """``put`` tells event ``number``; ``done`` returns once everything is acknowledged."""

    put: Put
    done: Callable[[], Awaitable[None]]


@click.command()
@click.option("--events", default=20_000, show_default=True, help="Of a run for throughput.")
@click.option("--paced", default=1_000, show_default=True, help="Of a run for latency.")
@click.option("--rounds", default=3, show_default=True)
def main(events: int, paced: int, rounds: int) -> None:
    """Three brokers, the same events through the outbox and bare, in turns."""
    kafka = Kafka()
    with tempfile.TemporaryDirectory() as name:
        with Progress().step("kafka") as step:
            kafka.install(step)
            kafka.start(Path(name) / "kafka")
        try:
            asyncio.run(_all(kafka, Path(name), events, paced, rounds))
        finally:
            kafka.stop()


async def _all(kafka: Kafka, folder: Path, events: int, paced: int, rounds: int) -> None:
    await kafka.create_topics([f"tradepulse.{stream}" for stream in Stream])
    found: dict[str, list[tuple[float, float, float]]] = {"outbox": [], "bare": []}
    for number in range(rounds):
        found["outbox"].append(await _through_outbox(kafka, folder / str(number), events, paced))
        found["bare"].append(await _bare(kafka, events, paced))
    medians = {
        kind: [statistics.median(column) for column in zip(*runs, strict=True)]
        for kind, runs in found.items()
    }
    click.echo(f"3 brokers, RF 3, acks=all, idempotent, mTLS; median of {rounds}")
    click.echo("                  events/s   produce→consume p50   p99")
    for kind, (rate, middle, worst) in medians.items():
        click.echo(f"  {kind:<12} {rate:12.0f} {middle * 1e3:16.1f} ms {worst * 1e3:8.1f} ms")
    ratios = [a / b for a, b in zip(medians["outbox"], medians["bare"], strict=True)]
    click.echo("  outbox / bare   " + "   ".join(f"{ratio:10.2f}" for ratio in ratios))
    await _kill(kafka, folder / "kill")


async def _through_outbox(
    kafka: Kafka, folder: Path, events: int, paced: int
) -> tuple[float, float, float]:
    bus, load = _publisher(kafka, folder)
    try:
        return await _measure(kafka, load, events, paced)
    finally:
        await bus.stop()


def _publisher(kafka: Kafka, folder: Path) -> tuple[Publisher, Load]:
    folder.mkdir()
    config = EventBusConfig(
        bootstrap_servers=kafka.servers(1).split(","),
        security_protocol="SSL",
        ssl_cafile=kafka.authority.certificate,
        ssl_certfile=kafka.admin.certificate,
        ssl_keyfile=kafka.admin.key,
        publish=frozenset({Stream.ORDERS}),
    )
    bus = Publisher(config, "bench/outbox", folder, CollectorRegistry(), {})
    bus.start({})
    bus.opened("paper", 0)

    async def put(number: int) -> None:
        entry = OrderRecord(f"order-{number}", _order(number), OrderStatus.PENDING, 1, 0.0)
        bus.recorded("paper", number, {"t": "intent", "id": entry.client_id, "epoch": 1}, entry)
        if number % 100 == 0:
            await asyncio.sleep(0)  # as the loop would

    return bus, Load(put, bus.drain)


async def _bare(kafka: Kafka, events: int, paced: int) -> tuple[float, float, float]:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.servers(1),
        security_protocol="SSL",
        ssl_context=kafka.context(),
        acks="all",
        enable_idempotence=True,
        max_batch_size=256 << 10,
    )
    await producer.start()

    async def put(number: int) -> None:
        body = {
            "id": f"{number:032d}",
            "event": "intent",
            "runner": "bench/bare",
            "venue": "paper",
            "at": time.time(),
            "seq": number,
            "order_id": f"order-{number}",
            "status": "pending",
            "filled": "0",
            **order_to_json(_order(number)),
        }
        headers = [("event-id", body["id"].encode())]
        await producer.send(TOPIC, canonical(body), key=_key(number).encode(), headers=headers)

    try:
        return await _measure(kafka, Load(put, producer.flush), events, paced)
    finally:
        await producer.stop()


async def _measure(kafka: Kafka, load: Load, events: int, paced: int) -> tuple[float, float, float]:
    await load.put(0)
    await load.done()  # connected
    began = time.perf_counter()
    for number in range(1, events + 1):
        await load.put(number)
    await load.done()
    rate = events / (time.perf_counter() - began)
    async with asyncio.TaskGroup() as group:
        consumer = await _consumer(kafka)
        reading = group.create_task(_arrivals(consumer, paced, events))
        sent = await _paced(load, events + 1, paced)
    latencies = sorted(reading.result()[number] - sent[number] for number in sent)
    return rate, latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]


async def _paced(load: Load, first: int, count: int) -> dict[int, float]:
    sent, due = {}, time.perf_counter()
    for number in range(first, first + count):
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent[number] = time.perf_counter()
        await load.put(number)
    await load.done()
    return sent


async def _consumer(kafka: Kafka) -> AIOKafkaConsumer:
    """At the end of the topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.servers(1),
        security_protocol="SSL",
        ssl_context=kafka.context(),
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    parts = [TopicPartition(TOPIC, n) for n in range(3)]
    consumer.assign(parts)
    await consumer.seek_to_end(*parts)
    return consumer


async def _arrivals(
    consumer: AIOKafkaConsumer, count: int, after: int, seen: list[int] | None = None
) -> dict[int, float]:
    """When each event past ``after`` came first, until ``count`` of them did."""
    found: dict[int, float] = {}
    try:
        while len(found) < count:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                now = time.perf_counter()
                for message in batch:
                    number = _number(message)
                    if number > after:
                        found.setdefault(number, now)
                        (seen if seen is not None else []).append(number)
        return found
    finally:
        await consumer.stop()


def _number(message: Any) -> int:
    return int(message.value.partition(b'"seq":')[2].partition(b",")[0])


async def _kill(kafka: Kafka, folder: Path) -> None:
    """Kill a partition's leader under a paced load; what was lost, and for how long."""
    count, seen = RATE * 20, list[int]()
    bus, load = _publisher(kafka, folder)
    await load.put(0)
    await load.done()
    admin = kafka.client()
    await admin.start()
    (topic,) = await admin.describe_topics([TOPIC])
    leader = topic["partitions"][0]["leader"]
    await admin.close()
    consumer = await _consumer(kafka)
    reading = asyncio.create_task(_arrivals(consumer, count, 0, seen))

    async def put(number: int) -> None:
        if number == count // 4:
            await asyncio.to_thread(kafka.kill_broker, leader)
        await load.put(number)

    sent = await _paced(Load(put, load.done), 1, count)
    arrived = await asyncio.wait_for(reading, 60)
    await bus.stop()
    late = [arrived[number] - sent[number] for number in sent if number in arrived]
    click.echo(
        f"  a leader killed at {RATE}/s: {count - len(arrived)} of {count} lost,"
        f" {len(seen) - len(set(seen))} came twice, the latest after {max(late):.1f} s"
    )


def _order(number: int) -> Order:
    return Order(_key(number), Side.BUY, Decimal(1), OrderType.LIMIT, Decimal(100), "bench")


def _key(number: int) -> str:
    return f"SYM-{number % SYMBOLS}"


if __name__ == "__main__":
    main()
