"""Event bus and cutover: brokers that are down hold one, a topic that is made again is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.e2e.test_objectstore import secret
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e import scenario
from tests.support.e2e.client import Cluster, Manifest, condition, is_true, phase, wait_for
from tests.support.runner.bus_fixtures import GROUP, prepare
from tests.support.runner.bus_fixtures import RUNNER as CLIENT
from tests.support.services.kafka.server import Kafka

RUNNER = "streamed"
ORDERS = "tradepulse.execution.orders"
#: Far more than a runner tells in the time that it has: a topic that is made again stays below.
FILLED = 5000
PARTITIONS = [TopicPartition(ORDERS, number) for number in range(3)]


@pytest.fixture(scope="module")
def kafka(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    found = Kafka(brokers=1)
    with Progress().step("kafka") as step:
        found.install(step)
    try:
        found.start(tmp_path_factory.mktemp("kafka"), NODE_GATEWAY)
        prepare(found, tmp_path_factory.mktemp("rights"))
        asyncio.run(read_by_somebody(found))
        yield found
    finally:
        found.stop()


def access(kafka: Kafka) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.servers(1),
        "security_protocol": "SSL",
        "ssl_context": kafka.context(),
    }


async def read_by_somebody(kafka: Kafka) -> None:
    """Each partition of the orders holds events of other days, which a group has read."""
    async with AIOKafkaProducer(**access(kafka), linger_ms=20) as producer:
        for place in PARTITIONS:
            sent = [
                await producer.send(ORDERS, b"{}", partition=place.partition) for _ in range(FILLED)
            ]
            await asyncio.gather(*sent)
    async with AIOKafkaConsumer(
        **access(kafka), group_id=GROUP, enable_auto_commit=False
    ) as reader:
        reader.assign(PARTITIONS)
        await reader.commit(dict.fromkeys(PARTITIONS, FILLED))


async def make_again(kafka: Kafka) -> None:
    """What nobody should do: delete a topic, and make another one of its name."""
    admin = kafka.client()
    await admin.start()
    try:
        await admin.delete_topics([ORDERS])
        while ORDERS in await admin.list_topics():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await kafka.create_topics([ORDERS])


def start(cluster: Cluster, namespace: str, kafka: Kafka) -> None:
    """A runner whose policy asks for the event bus, with a reader that may be far behind."""
    pair = kafka.authority.issue(CLIENT)
    files = {
        "ca.crt": kafka.authority.certificate.read_text(),
        "tls.crt": pair.certificate.read_text(),
        "tls.key": pair.key.read_text(),
    }
    cluster.apply(secret("kafka-tls", namespace, files))
    bus = {
        "bootstrapServers": kafka.servers(1).split(","),
        "securityProtocol": "SSL",
        "tlsSecret": "kafka-tls",
        "publish": ["execution.orders", "execution.fills"],
        "readers": [GROUP],
    }
    template = {
        **scenario.POLICY,
        # How fast it is isn't the matter here, and a busy machine is no bad release.
        "guardrails": {**scenario.POLICY["guardrails"], "p95Latency": "10s"},
        "checklist": [{"name": "kafka"}],
        "baseline": {"kafka": {"maxLag": 4 * FILLED}},
    }
    cutover = {"mode": "Automatic", "template": template}
    scenario.start(cluster, RUNNER, namespace, eventBus=bus, cutover=cutover)


@pytest.fixture(scope="module")
def held(cluster: Cluster, namespace: str, kafka: Kafka) -> Manifest:
    """A cutover to a bad release, asked for while the brokers were down."""
    start(cluster, namespace, kafka)
    published(cluster, namespace, "True")
    kafka.kill_broker(1)
    published(cluster, namespace, "False")
    name = scenario.release(cluster, RUNNER, namespace, scenario.BAD["error rate"])

    def look() -> Manifest | None:
        found = cluster.cutover(name, namespace)
        return found if checked(found) else None

    return wait_for("the checklist", look, seconds=60)


def published(cluster: Cluster, namespace: str, status: str) -> None:
    def look() -> bool:
        found = condition(cluster.runner(RUNNER, namespace), "EventsPublished")
        return bool(found and found["status"] == status)

    wait_for(f"EventsPublished to be {status}", look, seconds=90)


def checked(cutover: Manifest | None) -> tuple[str, str] | None:
    """Result and message of the item kafka."""
    records = ((cutover or {}).get("status") or {}).get("checklist") or []
    return next(((r["result"], r["message"]) for r in records if r["name"] == "kafka"), None)


def test_brokers_that_are_down_hold_the_cutover(
    cluster: Cluster, namespace: str, held: Manifest
) -> None:
    found = checked(held)
    assert found
    assert found[0] == "Fail"
    assert "remedy: " in found[1]
    assert phase(held) == "Preflight"
    assert is_true(cluster.runner(RUNNER, namespace), "TradingEnabled")


def test_a_topic_that_is_made_again_is_reported_and_holds_no_rollback_up(
    cluster: Cluster, namespace: str, kafka: Kafka, held: Manifest
) -> None:
    name = held["metadata"]["name"]
    kafka.start_broker(1)
    kafka.wait_for(1)
    scenario.reaches(cluster, name, namespace, "RollingBack")
    asyncio.run(make_again(kafka))
    found = scenario.reaches(cluster, name, namespace, "RolledBack")
    assert checked(found) == ("Pass", "")
    measured = found["status"]["baseline"]["kafka"]["partitions"]
    before = {(one["topic"], one["partition"]): one for one in measured}[ORDERS, 0]
    assert before["end"] >= FILLED
    assert before["committed"] == {GROUP: FILLED}

    told = found["status"]["streams"]["differences"]
    for number in range(3):
        lost = [one for one in told if one.startswith(f"{ORDERS}/{number} ends at ")]
        assert len(lost) == 1, told
        assert f"reader {GROUP} of {ORDERS}/{number} has no offset any more" in " ".join(told)
    intact = condition(found, "StreamsIntact")
    assert intact
    assert (intact["status"], intact["reason"]) == ("False", "StreamsDiffer")
    assert f"{ORDERS}/0" in intact["message"]
    uid = found["metadata"]["uid"]
    wait_for("one event", lambda: len(warnings(cluster, namespace, uid)) == 1, seconds=15)
    scenario.trading(cluster, RUNNER, namespace)
    report = final_report(cluster, namespace, name)
    assert f"Differs: {ORDERS}/0 ends at" in report["report.md"]
    raw = json.loads(report["final-streams.json"])
    ends = {
        (one["topic"], one["partition"]): one["end"] for one in raw["now"]["kafka"]["partitions"]
    }
    assert ends[ORDERS, 0] < before["end"]


def warnings(cluster: Cluster, namespace: str, uid: str) -> list[Manifest]:
    return [
        one
        for one in cluster.objects("Event", namespace)
        if one["involvedObject"]["uid"] == uid
        and (one["type"], one["reason"]) == ("Warning", "StreamsDiffer")
    ]


def final_report(cluster: Cluster, namespace: str, cutover: str) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        found = cluster.get("ConfigMap", f"{cutover}-incident", namespace)
        marks = ((found or {}).get("metadata") or {}).get("annotations") or {}
        final = marks.get("tradepulse.io/report-stage") == "final"
        return dict((found or {})["data"]) if final else None

    return wait_for("the final report", look, seconds=30)
