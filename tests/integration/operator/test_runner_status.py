"""The runner's own word: taken when it is whole, and None in every other case."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tradepulse_operator.clients.runner_status import Process, view
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    PartitionView,
    ReplicaView,
)
from tradepulse_operator.controllers.observed.views import ProcessView

STATUS = {
    "release": {"version": "1", "revision": "x"},
    "state": "HALTED",
    "halt": {"token": "uid-1", "complete": True, "reason": "cutover"},
    "kill_switch": {"engaged": False, "reason": ""},
    "open_orders": 0,
    "unknown_orders": 2,
    "writer_epoch": 7,
}


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


async def test_room_and_orders_are_taken_where_they_are_told() -> None:
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


def test_the_book_is_taken_where_it_is_told() -> None:
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
        {"kill_switch": [1]},
        {"kill_switch": True},
        {"kill_switch": {"engaged": "true"}},
        {"kill_switch": {"engaged": None}},
        {"kill_switch": {"engaged": 1}},
        {"open_orders": "many"},
        {"writer_epoch": {}},
    ],
)
def test_a_part_of_the_wrong_shape_spoils_the_whole(change: dict[str, Any]) -> None:
    assert view({**STATUS, **change}) is None


@pytest.mark.parametrize("complete", [None, 0, "true", 1])
def test_only_true_is_complete(complete: object) -> None:
    found = view({**STATUS, "halt": {"token": "t", "complete": complete}})
    assert found is not None
    assert found.halt_complete is False


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


def test_streams_are_taken_where_they_are_told() -> None:
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
