"""A runner in the cluster with Kafka and PostgreSQL beside it: what arrives, and an outage."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_objectstore import secret
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e import scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, condition, wait_for
from tests.support.runner.bus_fixtures import GROUP, Message, commit, prepare, read
from tests.support.runner.bus_fixtures import RUNNER as CLIENT
from tests.support.runner.database_fixtures import migrated, problems, using
from tests.support.services.kafka.server import Kafka
from tests.support.services.postgres.server import OBSERVER, WRITER, Postgres

RUNNER = "told"
ORDERS, FILLS = "tradepulse.execution.orders", "tradepulse.execution.fills"
#: Of one try beside brokers that are down, on a busy machine; how fast it is without them, and the
#: fastest of three, is another test's.
STOPPED_WITHIN = 5.0
_STATUS = (
    "import urllib.request as u; print(u.urlopen('http://localhost:8080/status').read().decode())"
)
_ENGAGED = """
import json, time, urllib.request as u
print("watching", flush=True)
while not json.load(u.urlopen("http://localhost:8080/status"))["kill_switch"]["complete"]:
    time.sleep(0.02)
print(time.time())
"""


@dataclass
class Place:
    """The runner, and the servers beside it."""

    cluster: Cluster
    namespace: str
    kafka: Kafka
    database: Postgres

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.cluster.inside(f"{RUNNER}-0", self.namespace, _STATUS)
        )
        return found

    def until(self, what: str, fits: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first status of the process that fits."""

        def look() -> dict[str, Any] | None:
            found = self.status()
            return found if fits(found) else None

        return wait_for(what, look, seconds=60)

    def says(self, kind: str, status: str) -> Manifest:
        """The condition of the TradingRunner, once it has that status."""

        def look() -> Manifest | None:
            found = condition(self.cluster.runner(RUNNER, self.namespace), kind)
            return found if found and found["status"] == status else None

        return wait_for(f"{kind} to be {status}", look, seconds=90)

    @property
    def name(self) -> str:
        return f"{self.namespace}/{RUNNER}"

    def events(self, topic: str) -> list[Message]:
        """What a reader keeps: each event once, by its id."""
        found = {each.id: each for each in asyncio.run(read(self.kafka, topic))}
        return [each for each in found.values() if each.body["runner"] == self.name]

    def count(self) -> int:
        """Rows of the runner's audit trail, counted one by one."""
        query = "SELECT count(*) FROM tradepulse.audit_records WHERE runner = $1"
        return int(
            asyncio.run(using(self.database, lambda c: c.fetchval(query, self.name), OBSERVER))
        )

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the audit records of a kind."""
        query = "SELECT body FROM tradepulse.audit_records WHERE runner = $1 AND kind = $2"
        rows = asyncio.run(
            using(self.database, lambda c: c.fetch(query, self.name, kind), OBSERVER)
        )
        return [json.loads(row["body"]) for row in rows]


@pytest.fixture(scope="module")
def kafka(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    found = Kafka(brokers=1)
    with Progress().step("kafka") as step:
        found.install(step)
    try:
        found.start(tmp_path_factory.mktemp("kafka"), NODE_GATEWAY)
        prepare(found, tmp_path_factory.mktemp("rights"))
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Postgres]:
    found = Postgres()
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        Path(name).chmod(0o755)  # the server has a user of its own
        with Progress().step("PostgreSQL") as step:
            found.install(step)
        try:
            found.start(Path(name) / "servers", NODE_GATEWAY)
            asyncio.run(migrated(found))
            yield found
        finally:
            found.stop()


@pytest.fixture(scope="module")
def place(cluster: Cluster, namespace: str, kafka: Kafka, database: Postgres) -> Place:
    ours, theirs = kafka.authority.issue(CLIENT), database.pairs[WRITER]
    for name, authority, pair in (
        ("kafka-tls", kafka.authority, ours),
        ("database-client", database.authority, theirs),
    ):
        files = {
            "ca.crt": authority.certificate.read_text(),
            "tls.crt": pair.certificate.read_text(),
            "tls.key": pair.key.read_text(),
        }
        cluster.apply(secret(name, namespace, files))
    bus = {
        "bootstrapServers": kafka.servers(1).split(","),
        "securityProtocol": "SSL",
        "tlsSecret": "kafka-tls",
        "publish": ["execution.orders", "execution.fills"],
        "readers": [GROUP],
    }
    hosts = [database.where(node) for node in (database.replica, database.primary)]
    where = {"hosts": hosts, "user": WRITER, "tlsSecret": "database-client"}
    scenario.start(cluster, RUNNER, namespace, eventBus=bus, database=where)
    return Place(cluster, namespace, kafka, database)


def test_what_happens_in_the_pod_is_reported_and_stored(place: Place) -> None:
    for kind in ("EventsPublished", "AuditStored"):
        place.says(kind, "True")
    status = place.until(
        "fills to be told and stored", lambda s: ends(s, FILLS) and s["database"]["audit_rows"]
    )
    bus, database = status["bus"], status["database"]
    assert {each["topic"] for each in bus["partitions"]} == {ORDERS, FILLS}
    assert (bus["problem"], bus["partitions_left_out"]) == ("", 0)
    assert database["primary"] == place.database.where(place.database.primary)
    (replica,) = database["replicas"]
    assert (replica["host"], replica["problem"]) == (
        place.database.where(place.database.replica),
        "",
    )
    assert database["timeline"] == 1
    assert ends(status, ORDERS) <= sum(1 for _ in place.events(ORDERS))
    assert place.records("fill")
    asyncio.run(commit(place.kafka, ORDERS, {0: 0, 1: 0, 2: 0}))
    place.until("the reader to be told of", lambda s: reading(s) == [{GROUP: 0}] * 3)
    assert database["audit_rows"] <= place.count()


def ends(status: dict[str, Any], topic: str) -> int:
    """How many events the topic has, by the runner's word."""
    return sum(each["end"] for each in status["bus"]["partitions"] if each["topic"] == topic)


def reading(status: dict[str, Any]) -> list[dict[str, int]]:
    """Where each group is, by partition of the orders' topic."""
    return [each["committed"] for each in status["bus"]["partitions"] if each["topic"] == ORDERS]


def test_an_outage_of_the_brokers_stops_nothing_and_loses_nothing(place: Place) -> None:
    began = time.monotonic()
    place.kafka.kill_broker(1)
    told = place.says("EventsPublished", "False")
    noticed = time.monotonic() - began
    assert (told["reason"], "remedy" in told["message"]) == ("Behind", True)
    submitted = place.status()["orders"]["submitted"]
    place.until("orders to go on", lambda s: s["orders"]["submitted"] > submitted + 20)
    scenario.trading(place.cluster, RUNNER, place.namespace, seconds=5)

    took = stopped(place)
    assert took < STOPPED_WITHIN
    waiting = place.status()["bus"]["pending"]
    assert waiting > 20

    place.kafka.start_broker(1)
    place.kafka.wait_for(1)
    began = time.monotonic()
    place.until("everything to be told", lambda s: not s["bus"]["pending"])
    caught_up = time.monotonic() - began
    place.says("EventsPublished", "True")
    place.until("everything to be stored", lambda s: not s["database"]["spool"])
    place.until("all of it to be counted", lambda s: s["database"]["audit_rows"] == place.count())
    orders = Counter(
        e.body["order_id"] for e in place.events(ORDERS) if e.body["event"] == "intent"
    )
    stored = Counter(record["id"] for record in place.records("intent"))
    figures = {"noticed": noticed, "stopped": took, "waited": waiting, "caught_up": caught_up}
    print({**{name: round(value, 2) for name, value in figures.items()}, "orders": len(orders)})
    assert orders == stored
    assert set(orders.values()) == {1}
    fills = Counter(each.body["trade_id"] for each in place.events(FILLS))
    assert set(fills.values()) == {1}
    assert set(fills) == {record["trade"]["trade_id"] for record in place.records("fill")}
    assert asyncio.run(problems(place.database, place.name)) == []


def stopped(place: Place) -> float:
    """Seconds from the order to stop until nothing is left at the venue, by the process's word."""
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(place.cluster.inside, f"{RUNNER}-0", place.namespace, _ENGAGED)
        time.sleep(1.5)  # until the exec is likely to watch; a late one only lengthens it
        asked = time.time()
        body = {"spec": {"killSwitch": {"engaged": True, "reason": "test: outage"}}}
        place.cluster.patch("TradingRunner", RUNNER, place.namespace, body, API_VERSION)
        return float(answer.result().split()[-1]) - asked
