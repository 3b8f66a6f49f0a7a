"""The event bus against three real brokers: nothing lost, nothing doubled, nothing else allowed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.runner.alerting_fixtures import Stack
from tests.support.runner.bus_fixtures import (
    GROUP,
    READER,
    RUNNER,
    SCRAM_PASSWORD,
    SCRAM_USER,
    Message,
    certify,
    commit,
    config,
    happen,
    of,
    prepare,
    publisher,
    read,
    settings,
    until,
)
from tests.support.runner.process import ROOT, RunnerProcess, environment, eventually
from tests.support.runner.runner_fixtures import Crash
from tests.support.services.kafka.server import Kafka
from tests.support.services.service import free_port
from tests.support.services.tls import Authority
from tradepulse_runner.bus import offsets
from tradepulse_runner.bus.client import ClientSecurity
from tradepulse_runner.bus.consumer import Consumer, Ledger, Received
from tradepulse_runner.bus.publisher import Publisher
from tradepulse_runner.bus.recorder import open_recorder, record
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.files.snapshot import Step

# Three brokers on a machine that others use as well take a while to start.
pytestmark = pytest.mark.timeout(900)
ORDERS, FILLS, TICKS = "tradepulse.execution.orders", "tradepulse.execution.fills", "market.ticks"
#: Of a producer; the second where it may write nowhere at all.
DENIED = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)
TOLD = ["signals.generated", "execution.orders", "execution.fills"]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    found = Kafka(scram={SCRAM_USER: SCRAM_PASSWORD})
    with Progress().step("kafka") as step:
        found.install(step)
    folder = tmp_path_factory.mktemp("kafka")
    try:
        found.start(folder)
        prepare(found, tmp_path_factory.mktemp("rights"))
        yield found
    finally:
        found.stop()


# -- a runner that is killed ---------------------------------------------------------------


def test_a_runner_that_is_killed_again_and_again_tells_each_order_and_fill_once(
    kafka: Kafka, tmp_path: Path
) -> None:
    nobody = [f"127.0.0.1:{free_port()}"]
    bus = settings(kafka, tmp_path / "tls", publish=TOLD, bootstrap_servers=nobody)
    runner = RunnerProcess(tmp_path, event_bus=bus)
    try:
        begin(runner)
        runner.trade(60)  # although nobody takes what it tells
        assert runner.status()["bus"]["pending"] > 60
        assert runner.metrics()["tradepulse_bus_up"] == 0
        runner.kill()
        runner.config["event_bus"] = {**bus, "bootstrap_servers": kafka.servers(1).split(",")}
        for _ in range(3):
            begin(runner)
            runner.trade(30)
            runner.kill()
        begin(runner)
        runner.until(lambda s: not s["bus"]["problem"], "the brokers")
        runner.halt()
        runner.until(lambda s: s["bus"]["pending"] == 0, "everything told")
        told = runner.metrics()
        assert runner.end(signal.SIGTERM) == 0
    finally:
        runner.close()
    assert told["tradepulse_bus_up"] == 1
    assert told['tradepulse_bus_events_total{outcome="dropped",topic="' + ORDERS + '"}'] == 0
    found = once(of(asyncio.run(read(kafka, ORDERS, FILLS)), "default/demo"))
    assert_tells_what_the_venue_saw(found, runner)


def begin(runner: RunnerProcess) -> None:
    """Start it; the brokers beside it leave little of a small machine."""
    runner.start(wait=False)
    runner.ports = eventually(runner._listening, within=90, what=f"ports in {runner.log}")


def once(messages: list[Message]) -> list[Message]:
    """What a reader keeps: the first message of each event."""
    found: dict[str, Message] = {}
    for each in messages:
        found.setdefault(each.id, each)
    return list(found.values())


def assert_tells_what_the_venue_saw(found: list[Message], runner: RunnerProcess) -> None:
    orders = [each.body for each in found if each.topic == ORDERS]
    intents = Counter(each["order_id"] for each in orders if each["event"] == "intent")
    venue = set(runner.venue_orders())
    assert len(venue) >= 140
    assert venue <= set(intents), "orders that were not told"
    assert set(intents.values()) == {1}, "orders that were told twice"
    fills = Counter(each.body["trade_id"] for each in found if each.topic == FILLS)
    trades = {str(row[0]) for row in runner.venue("SELECT id FROM trades")}
    assert trades
    assert set(fills) == trades
    assert set(fills.values()) == {1}
    assert all(each.key == each.body["symbol"] for each in found)


def test_the_kill_switch_and_a_stop_wait_for_no_broker(kafka: Kafka, tmp_path: Path) -> None:
    bus = settings(kafka, tmp_path / "tls", bootstrap_servers=[f"127.0.0.1:{free_port()}"])
    runner = RunnerProcess(tmp_path, event_bus=bus)
    try:
        begin(runner)
        runner.trade(5)
        began = time.monotonic()
        runner.command("kill-switch", "engage t1 drill")
        runner.until(lambda s: s["kill_switch"]["complete"], "the kill switch")
        assert time.monotonic() - began < 5
        assert runner.end(signal.SIGTERM) == 0
    finally:
        runner.close()


# -- brokers that are killed ---------------------------------------------------------------


async def test_a_leader_that_is_killed_under_load_costs_no_event(
    kafka: Kafka, tmp_path: Path
) -> None:
    total, name = 3000, "load/leader"
    bus = publisher(config(kafka, tmp_path / "tls", publish=TOLD), tmp_path, name)
    bus.start({})
    bus.opened("paper", 0)
    leader = 0
    for number in range(1, total + 1):
        happen(bus, number, symbol=f"SYM-{number % 7}")
        if number == total // 3:
            leader = await leader_of(kafka, ORDERS)
            await asyncio.to_thread(kafka.kill_broker, leader)
        await asyncio.sleep(0.001)
    try:
        await told(bus)
    finally:
        await asyncio.to_thread(kafka.start_broker, leader)
        await asyncio.to_thread(kafka.wait_for, leader)
        await bus.stop()
    found = of(await read(kafka, ORDERS), name)
    assert {each.body["seq"] for each in found} == set(range(1, total + 1))
    assert len(once(found)) == total
    assert_in_order(found)


async def told(bus: Publisher) -> None:
    async def empty() -> bool:
        return bool(bus.status()["pending"] == 0)

    await until(empty, 90)


def assert_in_order(found: list[Message]) -> None:
    """Of each symbol, what was told first arrives first."""
    newest: dict[str, int] = {}
    for each in once(found):
        assert newest.get(each.key, 0) < each.body["seq"]
        newest[each.key] = each.body["seq"]


async def leader_of(kafka: Kafka, topic: str) -> int:
    admin = kafka.client()
    await admin.start()
    try:
        (found,) = await admin.describe_topics([topic])
        return int(found["partitions"][0]["leader"])
    finally:
        await admin.close()


def test_too_few_brokers_fire_alerts_until_there_are_enough(
    kafka: Kafka, tmp_path: Path, stack: Stack
) -> None:
    """One of three answers and stores nothing, as what counts must be on two."""
    bus = settings(kafka, tmp_path / "tls", publish=TOLD, outbox_max_bytes=1 << 20)
    runner, lost = RunnerProcess(tmp_path, event_bus=bus), kafka.nodes[:2]
    for node in lost:
        kafka.kill_broker(node)
    try:
        begin(runner)
        stack.watch("untold", runner)
        stack.fires("TradePulseEventBusDown", "untold")
        stack.ticketed("TradePulseEventBusDown", "untold")
        eventually(lambda: filled(runner) > 0.82, what="an outbox that is nearly full")
        runner.halt()  # or events would be dropped: what the alert is to prevent
        stack.paged("TradePulseOutboxFilling", "untold")
        assert stack.firing("TradePulseEventBusDown", "untold")
    finally:
        for node in lost:
            kafka.start_broker(node)
        for node in lost:
            kafka.wait_for(node)
    try:
        for alert in ("TradePulseEventBusDown", "TradePulseOutboxFilling"):
            stack.over(alert, "untold")
        stack.ticketed("TradePulseEventBusDown", "untold", "resolved")
        stack.paged("TradePulseOutboxFilling", "untold", "resolve")
        eventually(lambda: runner.metrics()["tradepulse_bus_outbox_depth"] == 0)
        for topic in (ORDERS, FILLS):  # signals have half of the room
            labels = f'{{outcome="dropped",topic="{topic}"}}'
            assert runner.metrics()[f"tradepulse_bus_events_total{labels}"] == 0
    finally:
        runner.close()


def filled(runner: RunnerProcess) -> float:
    """Share of its bound that the outbox takes."""
    found = runner.metrics()
    return found["tradepulse_bus_outbox_bytes"] / found["tradepulse_bus_outbox_limit_bytes"]


# -- rights --------------------------------------------------------------------------------


async def test_what_the_printed_rights_dont_name_is_denied(kafka: Kafka, tmp_path: Path) -> None:
    runner = ClientSecurity(config(kafka, tmp_path / "runner"), {}).options()
    reader = ClientSecurity(config(kafka, tmp_path / "reader", READER), {}).options()
    stranger = ClientSecurity(config(kafka, tmp_path / "stranger", "stranger"), {}).options()
    assert await refusal(write(runner, ORDERS)) is None
    for options, topic in (
        (runner, "elsewhere"),
        (runner, f"{ORDERS}.retry"),
        (runner, f"{ORDERS}.dlq"),
        (reader, ORDERS),
        (stranger, ORDERS),
    ):
        assert await refusal(write(options, topic)) in DENIED
    group = "tradepulse.recorder"
    assert await refusal(consume(reader, ORDERS, group)) is None
    assert await refusal(consume(runner, ORDERS, None)) is TopicAuthorizationFailedError
    for options, topic in ((stranger, ORDERS), (reader, "elsewhere")):  # which it may not even see
        assert await refusal(consume(options, topic, None)) is not None
    assert await refusal(consume(reader, ORDERS, "another")) is GroupAuthorizationFailedError
    assert await refusal(consume(runner, ORDERS, group)) is not None
    assert await create(runner, "made-by-the-runner") == "TopicAuthorizationFailedError"


async def write(options: dict[str, Any], topic: str) -> None:
    producer = AIOKafkaProducer(
        **options, acks="all", enable_idempotence=True, request_timeout_ms=8000
    )
    await producer.start()
    try:
        body = b'{"runner":"rights","symbol":"X"}'
        await producer.send_and_wait(topic, body, key=b"X", headers=[("event-id", b"rights")])
    finally:
        await producer.stop()


async def consume(options: dict[str, Any], topic: str, group: str | None) -> None:
    consumer = AIOKafkaConsumer(
        **options, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topic, n) for n in range(3)]
        consumer.assign(parts)
        while not await consumer.getmany(timeout_ms=500):
            pass
        if group:
            await consumer.commit(dict.fromkeys(parts, 0))
    finally:
        await consumer.stop()


async def refusal(request: Any) -> type[BaseException] | None:
    try:
        async with asyncio.timeout(20):
            await request
    except (KafkaError, TimeoutError) as error:
        return type(error)
    return None


async def create(options: dict[str, Any], topic: str) -> str:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415

    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, 1)])
        return str(for_code(answer.topic_errors[0][1]).__name__)
    finally:
        await admin.close()


async def test_a_user_with_a_password_is_known_and_needs_rights_of_its_own(
    kafka: Kafka, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "KAFKA_API_KEY").write_text(SCRAM_USER)
    (secrets / "KAFKA_API_SECRET").write_text(SCRAM_PASSWORD)
    raw = settings(kafka, tmp_path / "tls", security_protocol="SASL_SSL")
    raw |= {"ssl_certfile": None, "ssl_keyfile": None, "sasl_mechanism": "SCRAM-SHA-512"}
    raw |= {"bootstrap_servers": kafka.servers(2).split(","), "sasl_credentials_dir": str(secrets)}
    options = ClientSecurity(EventBusConfig.model_validate(raw), {}).options()
    assert await refusal(write(options, ORDERS)) in DENIED
    wrong = {**options, "sasl_plain_password": "another-password-of-16"}
    assert await refusal(write(wrong, ORDERS)) is not None
    bus = publisher(EventBusConfig.model_validate(raw), tmp_path, "scram/denied")
    bus.start({})
    bus.opened("paper", 0)
    happen(bus, 1)
    try:
        await until(_says(bus, "bus acls"))
        assert bus.status()["pending"] > 0  # and it stays there
    finally:
        await bus.stop()


def _says(bus: Publisher, words: str) -> Any:
    async def ask() -> bool:
        return words in bus.status()["problem"]

    return ask


# -- how far topics and readers are --------------------------------------------------------


async def test_how_far_topics_and_readers_are_is_in_the_status(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "INTERVAL", 0.5)
    registry, options = CollectorRegistry(), config(kafka, tmp_path / "tls", readers=[GROUP])
    before = await ends(kafka, ORDERS)
    bus = publisher(options, tmp_path, "places/told", registry=registry)
    assert bus.status()["at"] is None
    assert bus.status()["problem"] == "not connected yet"
    bus.start({})
    bus.opened("paper", 0)
    try:
        for number in range(1, 41):
            happen(bus, number, symbol=f"SYM-{number % 7}")
        await told(bus)
        now = await ends(kafka, ORDERS)
        assert sum(now.values()) == sum(before.values()) + 40
        found = await until(_says_ends(bus, ORDERS, now))
        assert not found["problem"]
        assert found["partitions_left_out"] == 0
        rows = found["partitions"]
        assert rows == sorted(rows, key=lambda each: (each["topic"], each["partition"]))
        assert {each["topic"] for each in rows} == {
            f"tradepulse.{name}" for name in options.publish
        }
        assert all(each["committed"] == {} for each in rows)
        assert reader_lag(registry) is None

        await commit(kafka, ORDERS, {0: now[0], 2: now[2] - 1})
        found = await until(_says_ends(bus, ORDERS, now, committed=2))
        committed = {p["partition"]: p["committed"] for p in found["partitions"] if p["committed"]}
        assert committed == {0: {GROUP: now[0]}, 2: {GROUP: now[2] - 1}}
        assert reader_lag(registry) == 1  # where it never committed nothing can be said
        await commit(kafka, ORDERS, now)
        await until(_passed(lambda: reader_lag(registry) == 0))
    finally:
        began = time.monotonic()
        await bus.stop()
    assert time.monotonic() - began < 5


async def ends(kafka: Kafka, topic: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.servers(1), security_protocol="SSL", ssl_context=kafka.context()
    )
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, n) for n in range(3)])
        return {each.partition: end for each, end in found.items()}
    finally:
        await consumer.stop()


def _says_ends(bus: Publisher, topic: str, now: dict[int, int], committed: int = 0) -> Any:
    async def ask() -> dict[str, Any] | None:
        found = bus.status()
        rows = [each for each in found["partitions"] if each["topic"] == topic]
        fits = {each["partition"]: each["end"] for each in rows} == now
        return found if fits and sum(1 for r in rows if r["committed"]) >= committed else None

    return ask


def reader_lag(registry: CollectorRegistry) -> float | None:
    labels = {"group": GROUP, "topic": ORDERS}
    return registry.get_sample_value("tradepulse_bus_reader_lag", labels)


async def test_a_group_that_we_may_not_ask_for_is_named(kafka: Kafka, tmp_path: Path) -> None:
    bus = publisher(
        config(kafka, tmp_path / "tls", readers=["foreign"]), tmp_path, "places/foreign"
    )
    bus.start({})
    bus.opened("paper", 0)
    try:
        happen(bus, 1)
        await told(bus)  # which holds up nothing
        await until(_says(bus, "group foreign: we may not ask how far it is; remedy: run what"))
    finally:
        await bus.stop()


async def test_brokers_that_are_gone_are_a_problem_until_they_are_back(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told meanwhile, so that nobody but the look at the offsets could notice."""
    monkeypatch.setattr(offsets, "INTERVAL", 0.5)
    monkeypatch.setattr(offsets, "PATIENCE", 4.0)
    monkeypatch.setattr(offsets, "MAX_PARTITIONS", 4)
    found = offsets.Offsets(
        config(kafka, tmp_path / "tls", readers=[GROUP]),
        "places.gone",
        CollectorRegistry(),
        {},
        clock=time.time,
    )
    task = asyncio.create_task(found.run())
    try:
        await until(_passed(lambda: found.status()["at"]))
        kafka.freeze()
        try:
            await until(_passed(lambda: "remedy: look whether they run" in found.problem))
        finally:
            kafka.thaw()
        known = found.status()
        assert len(known["partitions"]) == 4, "what was found last stays"
        assert known["partitions_left_out"] == 11
        await until(_passed(lambda: not found.problem))
        kafka.freeze()  # in the middle of a request, most likely: it holds up no stop
        await asyncio.sleep(1)
    finally:
        began = time.monotonic()
        task.cancel()
        await asyncio.wait({task})
        kafka.thaw()
    assert time.monotonic() - began < 3


# -- readers -------------------------------------------------------------------------------


async def produce(kafka: Kafka, topic: str, values: list[tuple[str, bytes]]) -> None:
    """As an administrator: messages with the id of each."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.servers(1), security_protocol="SSL", ssl_context=kafka.context()
    )
    await producer.start()
    try:
        for name, value in values:
            headers = [("event-id", name.encode())] if name else []
            await producer.send_and_wait(topic, value, key=name.encode() or b"?", headers=headers)
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def consuming(consumer: Consumer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(consumer.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def rows(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, topic FROM events").fetchall()


async def test_a_reader_that_is_killed_at_any_moment_records_each_event_once(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic, target = f"tradepulse.{TICKS}", tmp_path / "copy.sqlite"
    values = [(f"tick-{n}", b'{"n":%d}' % n) for n in range(300)]
    await produce(kafka, topic, [*values, *values[:100]])  # a third of them twice
    options = config(kafka, tmp_path / "tls", READER)
    for moment in ("consumer.handled", "consumer.committed"):
        ledger = open_recorder(target)
        consumer = Consumer(
            options, [topic], record, ledger, CollectorRegistry(), {}, step=killed_at(moment)
        )
        with pytest.raises(Crash):
            await consumer.run()
        ledger.close()
    ledger, registry = open_recorder(target), CollectorRegistry()
    async with consuming(Consumer(options, [topic], record, ledger, registry, {})):

        async def through() -> bool:
            lags = [lag(registry, topic, n) for n in range(3)]
            return len(rows(target)) == 300 and lags == [0, 0, 0]

        await until(through, every=0.3)
    ledger.close()
    assert sorted(rows(target)) == sorted((name, topic) for name, _ in values)


def killed_at(moment: str) -> Step:
    def step(name: str) -> None:
        if name == moment and step_saw_messages():
            raise Crash

    turns = 0

    def step_saw_messages() -> bool:
        nonlocal turns
        turns += 1
        return turns > 3

    return step


def lag(registry: CollectorRegistry, topic: str, partition: int) -> float | None:
    labels = {"topic": topic, "partition": str(partition)}
    return registry.get_sample_value("tradepulse_bus_consumer_lag", labels)


async def test_what_cannot_be_handled_is_tried_again_and_ends_in_the_dead_letter_queue(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic, tried = "tradepulse.market.bars", Counter[str]()

    def handler(_: sqlite3.Connection, event: Received) -> None:
        tried[event.id] += 1
        if event.id == "poison" or (event.id == "later" and event.attempt == 1):
            raise ValueError("not today")

    good = [("before", b"{}"), ("later", b"{}"), ("after", b"{}")]
    await produce(kafka, topic, [good[0], ("poison", b"{}"), ("", b"not json"), *good[1:]])
    ledger = Ledger(tmp_path / "ledger")
    options = config(kafka, tmp_path / "tls", READER)
    consumer = Consumer(options, [topic], handler, ledger, CollectorRegistry(), {}, retry_pause=0.3)
    async with consuming(consumer):

        async def dead() -> list[Message]:
            found = await read(kafka, f"{topic}.dlq")
            return found if len(found) == 2 else []

        found = await until(dead, every=0.5)
    ledger.close()
    assert tried == {"before": 1, "poison": 3, "later": 2, "after": 1}
    names = {each.id: each for each in found}
    assert names["poison"].headers["error"] == b"ValueError: not today"
    assert names["poison"].headers["origin"] == topic.encode()
    assert {each.value for each in found} == {b"{}", b"not json"}
    assert len(await read(kafka, f"{topic}.retry")) == 2 + 2 + 1


def test_the_drop_copy_survives_kill_9(kafka: Kafka, tmp_path: Path) -> None:
    path, target = tmp_path / "runner.yaml", tmp_path / "copy.sqlite"
    bus = settings(kafka, tmp_path / "tls", READER, publish=["signals.generated"])
    runner = RunnerProcess(tmp_path / "r", event_bus=bus)
    path.write_text(yaml.safe_dump(runner.config))
    topic = "tradepulse.signals.generated"
    before = {each.id for each in asyncio.run(read(kafka, topic))}
    command = [sys.executable, "-m", "tradepulse_runner", "bus", "record"]
    command += ["--config", str(path), "--to", str(target)]
    asyncio.run(produce(kafka, topic, [(f"first-{n}", b"{}") for n in range(200)]))
    process = subprocess.Popen(command, env=environment(), cwd=ROOT)
    try:
        eventually(lambda: target.exists() and _count(target) > 0, within=60)
        process.kill()
        process.wait()
        asyncio.run(produce(kafka, topic, [(f"second-{n}", b"{}") for n in range(50)]))
        process = subprocess.Popen(command, env=environment(), cwd=ROOT)
        wanted = before | {f"first-{n}" for n in range(200)} | {f"second-{n}" for n in range(50)}
        eventually(lambda: {name for name, _ in rows(target)} == wanted, within=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def test_a_reader_that_stands_still_fires_an_alert_and_goes_on_when_it_can(
    kafka: Kafka, tmp_path: Path, stack: Stack
) -> None:
    path, target, port = tmp_path / "runner.yaml", tmp_path / "copy.sqlite", free_port()
    topic, group = "tradepulse.signals.generated", "tradepulse.recorder"
    bus = settings(kafka, tmp_path / "tls", READER, publish=["signals.generated"], group=group)
    path.write_text(yaml.safe_dump(RunnerProcess(tmp_path / "r", event_bus=bus).config))
    open_recorder(target).close()
    command = [sys.executable, "-m", "tradepulse_runner", "bus", "record", "--config", str(path)]
    command += ["--to", str(target), "--metrics-port", str(port)]
    other = sqlite3.connect(target, isolation_level=None)
    process = subprocess.Popen(command, env=environment(), cwd=ROOT)
    try:
        stack.scrape("reader", port)
        other.execute("BEGIN IMMEDIATE")  # whoever holds the file: a backup that hangs, say
        names = [f"lag-{n}" for n in range(1500)]
        asyncio.run(produce(kafka, topic, [(name, b"{}") for name in names]))
        fired = stack.fires("TradePulseConsumerLag", "reader")
        assert fired["labels"]["topic"] == topic
        stack.ticketed("TradePulseConsumerLag", "reader")
        assert process.poll() is None
        other.execute("ROLLBACK")
        eventually(lambda: set(names) <= {name for name, _ in rows(target)}, within=60)
        stack.over("TradePulseConsumerLag", "reader")
    finally:
        process.kill()
        process.wait()
        other.close()


def _count(path: Path) -> int:
    try:
        return len(rows(path))
    except sqlite3.OperationalError:
        return 0


# -- certificates; last, as the brokers' are other ones afterwards --------------------------


async def test_certificates_are_replaced_under_load_and_the_old_ones_are_worth_nothing_then(
    kafka: Kafka, tmp_path: Path
) -> None:
    name, folder = "load/rotation", tmp_path / "tls"
    bus = publisher(config(kafka, folder, publish=TOLD), tmp_path, name)
    bus.start({})
    bus.opened("paper", 0)
    number, load = 0, True

    async def keep_on() -> None:
        nonlocal number
        while load:
            number += 1
            happen(bus, number, symbol=f"SYM-{number % 7}")
            await asyncio.sleep(0.002)

    worker = asyncio.create_task(keep_on())
    old, new = kafka.authority, Authority(tmp_path / "new", "new-ca")
    before = ClientSecurity(config(kafka, tmp_path / "before"), {}).options()
    try:
        await kafka.trust(old, new)
        certify(new, folder, RUNNER, old, new)  # ours is a new one, theirs still the old one
        await reconnected(bus)
        await kafka.certify(new)
        certify(new, folder, RUNNER, new)
        await reconnected(bus)
        await kafka.trust(new)  # last
        mark = number
        await until(_passed(lambda: number > mark + 200))
    finally:
        load = False
        await worker
    await told(bus)
    await bus.stop()
    found = of(await read(kafka, ORDERS), name)
    assert {each.body["seq"] for each in found} == set(range(1, number + 1))
    assert len(once(found)) == number
    before["ssl_context"].load_verify_locations(cafile=str(new.certificate))
    assert await refusal(write(before, ORDERS)) is not None  # it believes them, they not it
    assert (
        await refusal(write(ClientSecurity(config_of(folder, kafka), {}).options(), ORDERS)) is None
    )


def config_of(folder: Path, kafka: Kafka) -> EventBusConfig:
    return EventBusConfig(
        bootstrap_servers=kafka.servers(1).split(","),
        security_protocol="SSL",
        ssl_cafile=folder / "ca.pem",
        ssl_certfile=folder / "tls.crt",
        ssl_keyfile=folder / "tls.key",
    )


async def reconnected(bus: Publisher) -> None:
    """Until it uses other files than at the moment of the call."""
    was = bus.connections
    await until(_passed(lambda: bus.connections > was and not bus.status()["problem"]))


def _passed(condition: Any) -> Any:
    async def ask() -> bool:
        return bool(condition())

    return ask
