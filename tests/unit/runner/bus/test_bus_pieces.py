"""The event bus without brokers: its configuration, its outbox at every crash, its rights."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import NotEnoughReplicasError
from prometheus_client import CollectorRegistry

from tests.support.runner import runner_fixtures
from tests.support.runner.bus_fixtures import certify, happen
from tests.support.runner.runner_fixtures import Crash, crash_at
from tests.support.services.tls import Authority
from tradepulse_runner.bus.acls import commands, principal
from tradepulse_runner.bus.bars import Bars
from tradepulse_runner.bus.client import ClientSecurity
from tradepulse_runner.bus.events import Event
from tradepulse_runner.bus.offsets import PartitionOffsets, lags
from tradepulse_runner.bus.outbox import FOLDER, Entry, Outbox
from tradepulse_runner.bus.publisher import Publisher
from tradepulse_runner.config.bus import EventBusConfig, Stream
from tradepulse_runner.config.runner import RunnerConfig, parse_model
from tradepulse_runner.domain import Order, OrderStatus, Side
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.oms.book import Oms
from tradepulse_runner.oms.state import OrderRecord

BUS: dict[str, Any] = {
    "bootstrap_servers": ["kafka.example.com:9093"],
    "security_protocol": "SSL",
    "ssl_cafile": "/tls/ca.crt",
    "ssl_certfile": "/tls/tls.crt",
    "ssl_keyfile": "/tls/tls.key",
}


def bus(**changes: Any) -> EventBusConfig:
    return EventBusConfig.model_validate(BUS | changes)


# -- configuration -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"security_protocol": "PLAINTEXT"}, "event_bus.security_protocol: value 'PLAINTEXT'"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "Input should be 'SSL' or 'SASL_SSL'"),
        ({"ssl_cafile": None}, "event_bus.ssl_cafile: value None"),
        ({"ssl_keyfile": None}, "ssl_certfile is '/tls/tls.crt' without ssl_keyfile: set both"),
        ({"ssl_certfile": None}, "ssl_keyfile is '/tls/tls.key' without ssl_certfile: set both"),
        ({"ssl_certfile": None, "ssl_keyfile": None}, "'SSL' without ssl_certfile and ssl_keyfile"),
        ({"sasl_mechanism": "PLAIN"}, "sasl_mechanism is 'PLAIN' with security_protocol 'SSL'"),
        ({"sasl_credentials_dir": "/s"}, "sasl_credentials_dir is '/s' with security_protocol"),
        ({"security_protocol": "SASL_SSL"}, "'SASL_SSL' without sasl_mechanism: set e.g. SCRAM"),
        ({"bootstrap_servers": ["kafka"]}, "'kafka' is not HOST:PORT, e.g. kafka-0"),
        ({"bootstrap_servers": ["kafka:0"]}, "'kafka:0' is not HOST:PORT"),
        ({"bootstrap_servers": []}, "event_bus.bootstrap_servers"),
        ({"topic_prefix": "*"}, "event_bus.topic_prefix: value '*'"),
        ({"group": "*"}, "event_bus.group: value '*'"),
        ({"readers": ["*"]}, "event_bus.readers.0: value '*'"),
        ({"readers": ["desk", "desk"]}, "'desk' is listed twice: remove one"),
        ({"readers": [f"group-{n}" for n in range(9)]}, "event_bus.readers"),
        ({"publish": ["orders"]}, "'execution.orders'"),
        ({"ssl_ca": "/x"}, "did you mean 'ssl_cafile'?"),
    ],
)
def test_what_is_refused_names_field_value_and_remedy(
    changes: Any, told: str, tmp_path: Path
) -> None:
    raw = runner_fixtures.config(tmp_path, event_bus=BUS | changes)
    with pytest.raises(ConfigError) as refused:
        parse_model(RunnerConfig, raw, source="runner.yaml")
    assert told in str(refused.value)
    assert "event_bus" in str(refused.value)


def test_ca_file_is_obligatory() -> None:
    with pytest.raises(ConfigError, match=r"ssl_cafile: missing; remedy"):
        parse_model(EventBusConfig, {k: v for k, v in BUS.items() if k != "ssl_cafile"}, source="x")


def test_files_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    folder = tmp_path / "tls"
    folder.mkdir()
    config = bus(
        ssl_cafile=folder / "ca.pem",
        ssl_certfile=folder / "tls.crt",
        ssl_keyfile=folder / "tls.key",
    )
    access = ClientSecurity(config, {})
    with pytest.raises(ConfigError, match=r"ssl_cafile: .*ca\.pem: No such file.*; remedy"):
        access.options()
    certify(first, folder, "runner", first)
    before = access.options()["ssl_context"]
    assert not access.refresh()
    certify(second, folder, "runner", second)
    pair = (folder / "tls.key").read_bytes()
    (folder / "tls.key").write_bytes(b"half of")
    assert not access.refresh()
    assert "half of" not in access.problem
    assert access.options()["ssl_context"] is before
    (folder / "tls.key").write_bytes(pair)
    assert access.refresh()
    assert access.options()["ssl_context"] is not before


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    authority = Authority(tmp_path / "ca")
    certify(authority, folder, "runner", authority)
    changes = {"ssl_certfile": None, "ssl_keyfile": None, "security_protocol": "SASL_SSL"}
    config = bus(**changes, ssl_cafile=folder / "ca.pem", sasl_mechanism="SCRAM-SHA-512")
    secret = "too-short"
    with pytest.raises(ConfigError, match=r"KAFKA_API_SECRET.*shorter") as refused:
        ClientSecurity(config, {"KAFKA_API_KEY": "user", "KAFKA_API_SECRET": secret}).options()
    assert secret not in str(refused.value)


# -- rights --------------------------------------------------------------------------------


def test_each_right_names_one_topic_or_group(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("runner")
    config = bus(ssl_certfile=pair.certificate, publish=["execution.orders"])
    lines = commands(config, principal(config), reader="User:CN=reader")
    write, read, forward = ([*shlex.split(line)] for line in lines)
    assert "*" not in "".join(lines)
    assert all("literal" in each for each in (write, read, forward))
    assert _after(write, "--allow-principal") == ["User:CN=runner"]
    assert _after(write, "--operation") == ["Write", "Describe"]
    assert _after(write, "--topic") == ["tradepulse.execution.orders"]
    assert _after(read, "--operation") == ["Read", "Describe"]
    orders = "tradepulse.execution.orders"
    assert _after(read, "--topic") == [orders, f"{orders}.retry"]
    assert _after(read, "--group") == ["tradepulse.recorder"]
    assert _after(forward, "--topic") == [f"{orders}.retry", f"{orders}.dlq"]


def test_of_readers_only_where_they_are_may_be_asked() -> None:
    config = bus(publish=["execution.orders"], readers=["settlement", "risk.desk"])
    _, describe = ([*shlex.split(line)] for line in commands(config, "User:CN=runner"))
    assert _after(describe, "--allow-principal") == ["User:CN=runner"]
    assert _after(describe, "--operation") == ["Describe"]
    assert _after(describe, "--group") == ["settlement", "risk.desk"]
    assert _after(describe, "--topic") == []


def test_lag_is_that_of_the_partitions_where_a_group_has_committed() -> None:
    partitions = (
        PartitionOffsets("orders", 0, 10, {"a": 4, "b": 10}),
        PartitionOffsets("orders", 1, 7, {"a": 7}),
        PartitionOffsets("orders", 2, 99, {}),
        PartitionOffsets("fills", 0, 3, {"a": 5}),  # the topic was made anew
    )
    assert lags(partitions) == {("a", "orders"): 6, ("b", "orders"): 0, ("a", "fills"): 0}


def _after(words: list[str], option: str) -> list[str]:
    return [words[n + 1] for n, word in enumerate(words) if word == option]


@pytest.mark.parametrize("who", ["User:*", "CN=runner", "", "Group:x"])
def test_nobody_in_particular_gets_no_right(who: str) -> None:
    with pytest.raises(ConfigError, match="remedy: name one user"):
        commands(bus(), who)


def test_with_a_password_the_principal_must_be_given() -> None:
    changes = {"ssl_certfile": None, "ssl_keyfile": None, "sasl_mechanism": "SCRAM-SHA-512"}
    with pytest.raises(ConfigError, match="remedy: give --principal User:NAME"):
        principal(bus(security_protocol="SASL_SSL", **changes))


# -- the outbox ----------------------------------------------------------------------------


def outbox(folder: Path, size: int = 1 << 20, step: Step = no_fault) -> Outbox:
    found = Outbox(folder, size, clock=lambda: 100.0, step=step)
    found.open()
    return found


def event(number: int, stream: Stream = Stream.ORDERS, filler: str = "") -> Event:
    return Event(stream, "BTC-USD", {"n": number, "filler": filler}, f"id-{number}", ("v", number))


def waiting(box: Outbox) -> list[int]:
    """Numbers of the events that are still to be told."""
    return [body["n"] for body in bodies(box)]


def bodies(box: Outbox) -> list[dict[str, Any]]:
    box.rewind()
    found: list[Entry] = []
    while entries := box.read(100):
        found += entries
    return [json.loads(entry.value) for entry in found if entry.stream]


async def test_what_was_put_is_there_again_after_a_kill_until_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    box = outbox(tmp_path)
    for number in range(1, 1001):
        assert box.put(event(number))
    again = outbox(tmp_path)
    assert again.depth == 1000
    assert again.last_sequence("v") == 1000
    again.rewind()
    first = again.read(400)
    again.ack(first[-1])
    await again.save()
    assert waiting(outbox(tmp_path)) == list(range(401, 1001))


async def test_a_crash_at_any_step_loses_nothing_and_forgets_nothing(tmp_path: Path) -> None:
    crashes = 0
    for number in range(1, 200):
        folder = tmp_path / str(number)
        steps = crash_at(number)
        put: list[int] = []
        acked = 0
        try:
            box = outbox(folder, 1 << 20, steps)
            for n in range(1, 13):
                put.append(n)
                box.put(event(n, filler="x" * 100_000))  # which fills segments
                if n % 3 == 0:
                    entries = box.read(2)
                    box.ack(entries[-1])
                    acked = json.loads(entries[-1].value)["n"]
                    await box.save()
        except Crash:
            crashes += 1
        else:
            break
        left = waiting(outbox(folder))
        sure = [n for n in put[:-1] if n > acked]
        assert set(sure) <= set(left)
        assert left == sorted(set(left))
        assert not set(left) - set(put)
    assert crashes > 40


async def test_it_takes_orders_when_it_takes_nothing_else_and_never_more_than_its_bound(
    tmp_path: Path,
) -> None:
    box, size, taken = outbox(tmp_path), 1 << 20, {stream: 0 for stream in Stream}
    for number in range(4_000):
        for stream in (Stream.TICKS, Stream.ORDERS):
            taken[stream] += box.put(event(number, stream, "x" * 500))
    assert box.bytes <= size
    assert box.dropped[Stream.TICKS] + taken[Stream.TICKS] == 4_000
    assert box.dropped[Stream.ORDERS] + taken[Stream.ORDERS] == 4_000
    assert taken[Stream.ORDERS] > 2 * taken[Stream.TICKS] > 0
    told = waiting(box)
    assert len(told) == taken[Stream.TICKS] + taken[Stream.ORDERS]
    while entries := _next(box):
        box.ack(entries[-1])
    await box.save()
    assert box.put(event(1, Stream.TICKS))  # there is room again
    assert len(list((tmp_path / FOLDER).glob("outbox.*"))) <= 2


def _next(box: Outbox) -> list[Entry]:
    box.rewind()
    return box.read(1000)


def test_damage_in_the_middle_is_kept_as_evidence_and_what_is_around_it_is_reported(
    tmp_path: Path,
) -> None:
    box = outbox(tmp_path)
    for number in range(1, 11):
        box.put(event(number))
    (segment,) = (tmp_path / FOLDER).glob("outbox.*")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    again = outbox(tmp_path)
    assert waiting(again) in ([1, 2, 3, 4], [1, 2, 3, 4, 5])
    assert [path.name for path in (tmp_path / FOLDER).glob("damaged.*")]
    again.put(event(11))
    assert waiting(outbox(tmp_path))[-1] == 11


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.put(event(1))
    box.put(event(2))
    (segment,) = (tmp_path / FOLDER).glob("outbox.*")
    segment.write_bytes(segment.read_bytes()[:-5])
    again = outbox(tmp_path)
    again.put(event(3))
    assert waiting(again) == [1, 3]
    assert not list((tmp_path / FOLDER).glob("damaged.*"))


# -- from the journal to the outbox --------------------------------------------------------


def publisher(folder: Path, step: Step = no_fault) -> Publisher:
    return Publisher(bus(), "t/demo", folder, CollectorRegistry(), {}, step=step)


def told(folder: Path) -> list[tuple[str, int]]:
    """What is still to be told of the journal: kind and sequence number."""
    box = Outbox(folder, 64 << 20, clock=lambda: 0.0)
    box.open()
    return [(each["event"], each["seq"]) for each in bodies(box)]


async def trade(folder: Path, step: Step) -> None:
    oms = Oms(folder, "paper", clock=lambda: 1.0, step=step, recorder=publisher(folder, step))
    oms.open()
    order = Order("BTC-USD", Side.BUY, Decimal(1), price=Decimal(100), algo="test")
    for number in range(3):
        client_id = f"o{oms.snapshot.generation if oms.snapshot else 0}-{number}"
        oms.queue(client_id, order)
        await oms.intend(client_id)
        oms.rejected(client_id, "no")
        if number == 1:
            await oms.save()


async def test_a_kill_between_journal_and_outbox_loses_no_event_and_tells_none_twice(
    tmp_path: Path,
) -> None:
    await trade(tmp_path / "whole", no_fault)
    whole = told(tmp_path / "whole")
    assert [kind for kind, _ in whole] == ["queued", "intent", "status"] * 3
    crashes = 0
    for number in range(1, 300):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            await trade(folder, crash_at(number))
            break
        except Crash:
            crashes += 1
        oms = Oms(folder, "paper", clock=lambda: 1.0, recorder=publisher(folder))
        oms.open()  # which also tells what became of the orders that were under way
        found = told(folder)
        sequence = [seq for _, seq in found]
        assert sequence == list(range(1, oms._journal.seq + 1)), number
        assert found[: len(whole)][: max(0, len(found) - 2)] == whole[: max(0, len(found) - 2)]
    assert crashes > 30


async def test_an_older_journal_that_was_put_back_is_followed_from_there(tmp_path: Path) -> None:
    bus_ = publisher(tmp_path)
    bus_.opened("paper", 0)
    for number in range(1, 11):
        happen(bus_, number)
    again = publisher(tmp_path)  # a backup was restored, whose journal ends at 4
    for number in range(1, 5):
        again.replayed("paper", number, {"t": "intent", "id": "x"}, None)
    again.opened("paper", 4)
    after = publisher(tmp_path)  # killed before the outbox had what the journal has: 5
    order = Order("BTC-USD", Side.BUY, Decimal(1), price=Decimal(1), algo="a")
    entry = OrderRecord("order-5b", order, OrderStatus.PENDING, 1, 0.0)
    after.replayed("paper", 5, {"t": "intent", "id": "order-5b"}, entry)
    assert told(tmp_path)[-1] == ("intent", 5)
    assert len(told(tmp_path)) == 11


async def test_an_outbox_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    found = publisher(tmp_path)
    found.opened("paper", 0)
    happen(found, 1)
    found.start({})
    assert "the outbox cannot be used" in found.status()["problem"]
    async with asyncio.timeout(2):
        await found.stop()


class Refusing:
    """A fake of the producer whose brokers answer and store nothing, as when too few replicas are
    in sync. ``taken``: how many chunks they store after all."""

    taken = 0

    def __init__(self, *_: Any, **__: Any) -> None: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def send(self, entries: Sequence[Entry]) -> list[BaseException | None]:
        if Refusing.taken:
            Refusing.taken -= 1
            return [None] * len(entries)
        return [NotEnoughReplicasError()] * len(entries)


async def test_brokers_that_answer_and_take_nothing_are_not_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a moment, at each connection: an alert waits for minutes without one."""
    monkeypatch.setattr("tradepulse_runner.bus.publisher.Producer", Refusing)
    monkeypatch.setattr("tradepulse_runner.bus.publisher.ClientSecurity", lambda *_: Always())
    monkeypatch.setattr("tradepulse_runner.bus.publisher.FIRST_PAUSE", 0.01)
    registry, seen = CollectorRegistry(), set[float | None]()
    found = Publisher(
        bus(), "t/demo", tmp_path, registry, {}, step=lambda _: seen.add(up(registry))
    )
    found.opened("paper", 0)
    happen(found, 1)
    found.start({})
    await runner_fixtures.until(lambda: found.connections >= 4)
    assert seen == {0.0}
    assert "NotEnoughReplicasError" in found.status()["problem"]
    Refusing.taken = 1
    await runner_fixtures.until(lambda: up(registry) == 1)
    assert "NotEnoughReplicasError" not in found.status()["problem"]
    await found.stop()


class Always:
    """Credentials that need no file."""

    def options(self) -> dict[str, Any]:
        return {}

    def refresh(self) -> bool:
        return False


def up(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("tradepulse_bus_up")


# -- bars ----------------------------------------------------------------------------------


def test_a_bar_is_published_once_its_minute_is_over() -> None:
    bars = Bars()
    for at, price in ((60.0, "5"), (61.0, "9"), (90.0, "3"), (119.9, "4")):
        assert bars.add("v", "S", Decimal(price), at) is None
    assert bars.add("v", "T", Decimal(1), 130.0) is None
    assert bars.add("v", "S", Decimal(7), 185.0) == {
        "start": 60,
        "seconds": 60,
        "looks": 4,
        "open": "5",
        "high": "9",
        "low": "3",
        "close": "4",
    }
    assert bars.add("v", "S", Decimal(7), 100.0) is None  # a price that comes late opens nothing
