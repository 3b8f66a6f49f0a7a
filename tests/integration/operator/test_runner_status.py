"""The runner's own word: taken when it is whole, and None in every other case."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import ReleaseCutoverStatus
from tradepulse_operator.api.untrusted import parse
from tradepulse_operator.clients.runner_status import Process, view
from tradepulse_operator.controllers.cutover.baseline import measured
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    PartitionView,
    ReplicaView,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView

STATUS = {
    "release": {"version": "1", "revision": "x"},
    "state": "HALTED",
    "halt": {"token": "uid-1", "complete": True, "reason": "cutover"},
    "kill_switch": {"engaged": False, "reason": ""},
    "open_orders": 0,
    "unknown_orders": 2,
    "writer_epoch": 7,
}


BUS = {
    "problem": "",
    "pending": 3,
    "at": "2027-01-15T08:00:00Z",
    "partitions": [
        {"topic": "t.orders", "partition": 1, "end": 7, "committed": {}},
        {"topic": "t.orders", "partition": 0, "end": 123, "committed": {"settlement": 120}},
    ],
    "partitions_left_out": 2,
}
DATABASE = {
    "problem": "",
    "at": "2027-01-15T08:00:00Z",
    "primary": "db-a:5432",
    "system": "7412",
    "timeline": 1,
    "lsn": "0/16B3748",
    "audit_rows": 123,
    "replicas": [{"host": "db-b:5432", "lag_bytes": 0, "lag_seconds": 0.25, "problem": ""}],
}
OBSERVED = CutoverObserved(
    ReleaseCutover.model_validate(
        {"metadata": {"name": "c", "namespace": "n"}, "spec": {"runner": "r"}}
    ),
    now=1_800_000_000.0,
)
ROOM = {
    "storage": {"free_bytes": 10**9, "backup_bytes": 512},
    "orders": {"ok": 9, "error": 2},
    "guard": {"latency_p95_ms": 12.5},
    "snapshot": {"generation": 7, "sha256": "abc"},
}
SERVICES = ("object_store", "database", "bus", "siem", "positions", "venues")
#: What a release may say in the place of anything.
HOSTILE: list[Any] = [
    float("inf"),
    float("nan"),
    10**400,
    -1,
    True,
    "7",
    "\ud800",
    "x" * 100_000,
    [],
    [[1]],
    {"problem": 7},
    {"a": {"problem": [1]}},
    {"at": "0001-01-01T00:00:00+14:00"},
    {"at": "9999-12-31T23:59:59-14:00"},
    {"free_bytes": float("inf")},
    {"latency_p95_ms": float("nan")},
    {"generation": 1e999, "sha256": "f" * 2000},
    {"v": {"s": "1e99999999999999999999"}},
    {"v": {"s": "NaN"}},
    {"v": {"s" * 2000: "1"}},
]


@asynccontextmanager
async def process(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Process]:
    app = web.Application()
    app.router.add_get("/status", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        yield Process(session, port=server.port, timeout=0.3)


async def test_a_whole_status_is_taken() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(STATUS)

    async with process(handler) as port:
        assert await port.status("127.0.0.1") == ProcessView(
            state="HALTED",
            halt_token="uid-1",
            halt_complete=True,
            unknown_orders=2,
            writer_epoch=7,
        )


async def test_room_and_orders_are_taken_where_they_are_reported() -> None:
    more = {
        "storage": {"free_bytes": 10**9, "backup_bytes": 512},
        "orders": {"submitted": 12, "ok": 9, "error": 2},
        "guard": {"latency_p95_ms": 12.5},
    }

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({**STATUS, **more})

    async with process(handler) as port:
        found = await port.status("127.0.0.1")
    assert found
    assert (found.free_bytes, found.backup_bytes) == (10**9, 512)
    assert (found.orders, found.failed_orders, found.p95_milliseconds) == (11, 2, 12.5)


def test_the_book_is_taken_where_it_is_reported() -> None:
    book = {
        "positions": {"b": {"ETH-USD": "-0.5"}, "a": {"BTC-USD": "1.25", "SOL-USD": "0.00"}},
        "snapshot": {"generation": 7, "sha256": "abc"},
    }
    found = view({**STATUS, **book})
    assert found
    assert found.positions == (("a", "BTC-USD", "1.25"), ("b", "ETH-USD", "-0.5"))
    assert (found.snapshot_generation, found.snapshot_sha256) == (7, "abc")


@pytest.mark.parametrize("positions", [{"a": {"BTC-USD": "much"}}, {"a": ["1"]}, ["a"], "a"])
def test_a_book_that_cannot_be_read_hides_no_halt(positions: Any) -> None:
    found = view({**STATUS, "positions": positions})
    assert found
    assert (found.halt_complete, found.positions) == (True, ())


@pytest.mark.parametrize("body", ["", "no", "[]", "{}", '{"state": ', '"x"', "x" * 600_000])
async def test_anything_else_is_no_word(body: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body)

    async with process(handler) as port:
        assert await port.status("127.0.0.1") is None


@pytest.mark.parametrize("status", [204, 302, 404, 500])
async def test_only_a_plain_success_counts(status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=json.dumps(STATUS) if status != 204 else None)

    async with process(handler) as port:
        assert await port.status("127.0.0.1") is None


async def test_a_process_that_hangs_is_left_alone() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.json_response(STATUS)

    async with process(handler) as port:
        assert await port.status("127.0.0.1") is None


@pytest.mark.parametrize("address", ["", "example.com", "127.0.0.1:1/x", "127.0.0.1@evil"])
async def test_only_addresses_are_called(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert await Process(session).status(address) is None


@pytest.mark.parametrize(
    "change",
    [
        {"halt": "x"},
        {"kill_switch": True},
        {"kill_switch": {"engaged": "true"}},
        {"kill_switch": {"engaged": None}},
        {"halt": {"token": 7, "complete": True}},
        {"kill_switch": [1]},
        {"kill_switch": {"engaged": 1}},
        {"kill_switch": {"engaged": "false"}},
        {"open_orders": "many"},
        {"open_orders": "1"},
        {"open_orders": True},
        {"open_orders": -1},
        {"open_orders": 1.5},
        {"open_orders": float("inf")},
        {"unknown_orders": float("nan")},
        {"unknown_orders": 2**63},
        {"orders": {"ok": 1, "error": False}},
        {"orders": []},
        {"state": 7},
        {"state": None},
    ],
)
def test_what_decides_something_is_of_its_type_or_there_is_no_view(change: dict[str, Any]) -> None:
    assert view({**STATUS, **change}) is None


@pytest.mark.parametrize("bad", HOSTILE, ids=repr)
@pytest.mark.parametrize("part", ["writer_epoch", "storage", "guard", "snapshot", *SERVICES])
def test_a_part_that_decides_nothing_takes_nothing_else_away(part: str, bad: object) -> None:
    found = view({**STATUS, **ROOM, part: bad})
    assert found
    assert (found.halt_complete, found.unknown_orders) == (True, 2)
    others = {"free_bytes": 10**9, "p95_milliseconds": 12.5, "snapshot_generation": 7}
    gone = {"storage": "free_bytes", "guard": "p95_milliseconds", "snapshot": "snapshot_generation"}
    others.pop(gone.get(part, ""), None)
    assert {name: getattr(found, name) for name in others} == others


async def test_the_body_is_read_as_it_comes_and_never_unpacked() -> None:
    bomb = gzip.compress(json.dumps({**STATUS, "x": " " * 50_000_000}).encode())
    assert len(bomb) < 512 * 1024

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with process(handler) as port:
        tracemalloc.start()
        try:
            assert await port.status("127.0.0.1") is None
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b'{"state":"TRADING","open_orders":1e999}',
        b'{"state":"TRADING","open_orders":Infinity}',
        b'{"state":"TRADING","open_orders":1' + b"0" * 5000 + b"}",
        b'{"state":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 500_000,
        b'{"a":' * 80_000,
        b'\xff\xfe{"state":"TRADING"}',
        b'{"state":"TRADING","kill_switch":{"engaged":NaN}}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_hostile_bodies_are_no_view(body: bytes) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with process(handler) as port:
        assert await port.status("127.0.0.1") is None


async def test_lone_surrogates_and_controls_change_only_their_own_field() -> None:
    body = rb'{"state":"TRADING","kill_switch":{"engaged":true,"reason":"a\ud800\u0000\u001b[2Jb"}}'

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with process(handler) as port:
        found = await port.status("127.0.0.1")
    assert found == ProcessView(
        "TRADING", kill_switch=True, kill_switch_reason="a?\ufffd\ufffd[2Jb"
    )


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(categories=None)).map(lambda text: text * 300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def _paths(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*path, key))


def _whole() -> dict[str, Any]:
    book = {"positions": {"a": {"BTC-USD": "1"}}, "venues": {"a": {"takes_orders": True}}}
    found = {**STATUS, **ROOM, **book, "bus": BUS, "database": DATABASE, "siem": {"problem": ""}}
    return copy.deepcopy(found)


@given(path=st.sampled_from(list(_paths(_whole()))), bad=_JSON)
def test_whatever_a_release_says_fits_into_a_status_and_can_be_read_back(
    path: tuple[str, ...], bad: object
) -> None:
    said = _whole()
    inner = said
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = bad
    found = view(parse(json.dumps(said), 10**7))
    if found is None:
        assert path[0] in {"state", "halt", "kill_switch", "orders", "open_orders"} | {
            "unknown_orders"
        }
        return
    baseline = measured(replace(OBSERVED, process=found))
    status = ReleaseCutoverStatus(baseline=baseline).wire()
    again = ReleaseCutoverStatus.model_validate(json.loads(json.dumps(status)))
    assert again.baseline == baseline
    json.dumps(status, ensure_ascii=False).encode()


@pytest.mark.parametrize("complete", [None, 0, "true", 1])
def test_only_true_is_complete(complete: object) -> None:
    found = view({**STATUS, "halt": {"token": "t", "complete": complete}})
    assert found is not None
    assert found.halt_complete is False


def test_streams_are_taken_where_they_are_reported() -> None:
    found = view({**STATUS, "bus": BUS, "database": DATABASE})
    assert found
    assert found.bus == BusView(
        at=1_800_000_000.0,
        partitions=(
            PartitionView("t.orders", 0, 123, {"settlement": 120}),
            PartitionView("t.orders", 1, 7),
        ),
        left_out=2,
    )
    assert found.database == DatabaseView(
        at=1_800_000_000.0,
        primary="db-a:5432",
        system="7412",
        timeline=1,
        lsn="0/16B3748",
        audit_rows=123,
        replicas=(ReplicaView("db-b:5432", 0, 0.25),),
    )


def test_before_anything_answered_there_is_nothing_to_compare() -> None:
    empty = {"problem": "no broker answers", "pending": 1, "at": None}
    found = view({**STATUS, "bus": empty, "database": {**empty, "primary": None}})
    assert found
    assert found.bus == BusView(problem="no broker answers")
    assert found.database == DatabaseView(problem="no broker answers")
    assert found.database_problem == "no broker answers"
    # A release of before says less of its database, and nothing of its bus.
    found = view({**STATUS, "database": {"problem": ""}})
    assert found
    assert (found.bus, found.database, found.database_problem) == (None, None, "")


@pytest.mark.parametrize(
    "change",
    [
        {"at": "yesterday"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"at": 7},
        {"partitions": 7},
        {"partitions": [7]},
        {"partitions": [{"topic": "t", "partition": 0}]},
        {"partitions": [{"topic": "t", "partition": 0, "end": 2**63}]},
        {"partitions": [{"topic": "t", "partition": 0, "end": -1}]},
        {"partitions": [{"topic": "t", "partition": 0, "end": 1, "committed": {"g": "x"}}]},
        {"partitions": [{"topic": "t", "partition": 0, "end": float("inf")}]},
        {"partitions_left_out": "many"},
        {"audit_rows": 2**70},
        {"timeline": "new"},
        {"replicas": [{}]},
        {"replicas": [{"host": "h", "lag_seconds": float("nan")}]},
        {"replicas": [{"host": "h", "lag_bytes": -1}]},
    ],
)
def test_streams_that_cannot_be_read_hide_no_halt(change: dict[str, Any]) -> None:
    found = view({**STATUS, "bus": {**BUS, **change}, "database": {**DATABASE, **change}})
    assert found
    assert found.halt_complete
    assert None in (found.bus, found.database)


def test_a_flood_of_partitions_is_bounded_and_counted() -> None:
    groups = {f"g{n}": n for n in range(20)}
    many = [
        {"topic": "t", "partition": n, "end": n, "committed": groups if n == 0 else {}}
        for n in range(300)
    ]
    found = view({**STATUS, "bus": {**BUS, "partitions": many}})
    assert found
    assert found.bus
    assert len(found.bus.partitions) == 256
    assert found.bus.left_out == 2 + 300 - 256
    assert len(found.bus.partitions[0].committed) == 8


async def test_a_status_of_many_partitions_is_read_whole() -> None:
    """As long as one may be: 256 partitions, eight groups, names of 128 characters."""
    names = [f"{n:0128}" for n in range(8)]
    many = [
        {"topic": "t" * 150, "partition": n, "end": 10**12, "committed": dict.fromkeys(names, n)}
        for n in range(256)
    ]

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({**STATUS, "bus": {**BUS, "partitions": many}})

    async with process(handler) as port:
        found = await port.status("127.0.0.1")
    assert found
    assert found.bus
    assert len(found.bus.partitions) == 256
