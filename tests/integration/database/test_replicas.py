"""What is told of a primary and its replicas, against real servers; and what is made of answers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.integration.database.test_database import entries
from tests.support.cluster.progress import Progress
from tests.support.runner.database_fixtures import config, migrated, using
from tests.support.runner.runner_fixtures import until
from tests.support.services.postgres.server import SUPERUSER, Postgres
from tests.support.services.service import free_port
from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database import audit, replicas
from tradepulse_runner.database.metrics import DatabaseMetrics
from tradepulse_runner.database.replicas import Replicas, lag_bytes

RUNNER = "ns/replicated"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    found = Postgres()
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        Path(name).chmod(0o755)  # the server has a user of its own
        with Progress().step("PostgreSQL") as step:
            found.install(step)
        try:
            found.start(Path(name) / "servers")
            asyncio.run(migrated(found))
            yield found
        finally:
            found.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "INTERVAL", 0.2)


@contextlib.asynccontextmanager
async def looking(
    where: DatabaseConfig, timelines: dict[str, str] | None = None
) -> AsyncIterator[tuple[Replicas, CollectorRegistry]]:
    registry = CollectorRegistry()
    found = Replicas(where, RUNNER, lambda: timelines or {}, DatabaseMetrics(registry))
    task = asyncio.create_task(found.run())
    try:
        yield found, registry
    finally:
        began = time.monotonic()
        task.cancel()
        await asyncio.wait({task})
        assert time.monotonic() - began < 1


async def says(found: Replicas, fits: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first status that fits."""
    seen: list[dict[str, Any]] = []

    def fitting() -> Any:
        seen[:] = [found.status()]
        return fits(seen[0])

    await until(fitting, seconds=20)
    return seen[0]


def one(status: dict[str, Any]) -> dict[str, Any]:
    """The only replica."""
    (replica,) = status["replicas"]
    return dict(replica)


async def store(server: Postgres, count: int, first: int = 1) -> None:
    async def append(connection: Any) -> None:
        await audit.append(connection, RUNNER, "origin", entries(count, first))

    await using(server, append, "runner")


async def test_where_the_servers_are_is_reported_to_a_plain_role(server: Postgres) -> None:
    async with looking(config(server)) as (found, registry):
        assert found.status()["at"] is None
        await store(server, 30)
        status = await says(found, lambda s: s["audit_rows"] == 30)
        known = await using(
            server,
            lambda c: c.fetchrow(
                "SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,"
                " (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,"
                " (SELECT count(*) FROM tradepulse.audit_records WHERE runner = $1) AS rows,"
                " pg_current_wal_flush_lsn()::text AS lsn",
                RUNNER,
            ),
            SUPERUSER,
        )
        assert status["primary"] == server.where(server.primary)
        told = (status["system"], status["timeline"], status["audit_rows"])
        assert told == (known["system"], known["timeline"], known["rows"])
        assert lag_bytes(known["lsn"], status["lsn"]) < 16 << 20
        whole = {"host": server.where(server.replica), "lag_bytes": 0, "lag_seconds": 0.0}
        status = await says(found, lambda s: one(s)["lag_bytes"] == 0)
        assert one(status) == {**whole, "problem": ""}

        await using(
            server, lambda c: c.execute("SELECT pg_wal_replay_pause()"), SUPERUSER,
            node=server.replica,
        )  # fmt: skip
        await store(server, 500, 31)
        first = one(await says(found, lambda s: (one(s)["lag_bytes"] or 0) > 10_000))
        later = await says(found, lambda s: one(s)["lag_seconds"] >= first["lag_seconds"] + 1)
        assert not one(later)["problem"]
        assert later["audit_rows"] == 530
        labels = {"host": server.where(server.replica)}
        name = "tradepulse_database_replica_lag_bytes"
        assert (registry.get_sample_value(name, labels) or 0) >= first["lag_bytes"]

        await using(
            server, lambda c: c.execute("SELECT pg_wal_replay_resume()"), SUPERUSER,
            node=server.replica,
        )  # fmt: skip
        status = await says(found, lambda s: one(s)["lag_bytes"] == 0)
        assert one(status)["lag_seconds"] == 0.0


async def test_a_host_that_nobody_is_at_is_named_and_hides_nothing(server: Postgres) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    where = config(server)
    where = where.model_copy(update={"hosts": [nobody, *where.hosts]})
    async with looking(where) as (found, _):
        status = await says(found, lambda s: s["primary"])
        by_host = {each["host"]: each for each in status["replicas"]}
        assert by_host[nobody]["problem"]
        assert by_host[nobody]["lag_bytes"] is None
        assert by_host[server.where(server.replica)]["problem"] == ""


async def test_an_older_timeline_than_one_that_was_seen_is_no_primary(server: Postgres) -> None:
    async with looking(config(server)) as (found, _):
        system = (await says(found, lambda s: s["primary"]))["system"]
    async with looking(config(server), {system: "0000000F"}) as (found, _):
        status = await says(found, lambda s: s["replicas"])
        assert status["primary"] is None
        by_host = {each["host"]: each["problem"] for each in status["replicas"]}
        assert "it was failed over from" in by_host[server.where(server.primary)]
        assert "no primary to compare with" in by_host[server.where(server.replica)]


async def test_after_a_failover_the_new_primary_is_named(server: Postgres) -> None:
    async with looking(config(server)) as (found, _):
        await store(server, 600)
        before = await says(found, lambda s: s["primary"] and one(s)["lag_bytes"] == 0)
        old, new = server.where(server.primary), server.where(server.replica)
        await asyncio.to_thread(server.primary.kill)
        status = await says(found, lambda s: s["primary"] is None and s["replicas"])
        assert status["at"] is not None
        assert status["system"] == before["system"]  # what was found last
        await asyncio.to_thread(server.fail_over)
        status = await says(found, lambda s: s["primary"])
        assert (status["primary"], status["timeline"]) == (new, before["timeline"] + 1)
        assert status["audit_rows"] == 600
        assert one(status)["host"] == old
        assert one(status)["problem"]
        server.follow(server.replica, server.primary)
        status = await says(found, lambda s: one(s)["lag_bytes"] == 0)
        assert one(status)["host"] == old


async def test_two_that_could_be_written_to_are_not_both_the_primary() -> None:
    answers = [
        replicas._Answer(host, {"standby": False, "timeline": timeline, "system": "1"})
        for host, timeline in (("a:1", "00000002"), ("b:1", "0000000A"), ("c:1", "00000003"))
    ]
    judged = replicas._one_primary(answers)
    assert [each.host for each in judged if replicas._is_primary(each)] == ["b:1"]
    assert "make it a replica of b:1" in judged[0].problem


def idle(tmp_path: Path) -> Replicas:
    """Connected to nobody."""
    files = {name: tmp_path / name for name in ("ca_file", "cert_file", "key_file")}
    where = DatabaseConfig(hosts=["a:1", "b:1"], user="runner", **files)
    return Replicas(where, RUNNER, dict, DatabaseMetrics(CollectorRegistry()))


def test_on_a_quiet_primary_the_last_transaction_is_old_and_the_lag_is_not(tmp_path: Path) -> None:
    found = idle(tmp_path)
    assert found._lag("b:1", 100, 3600.0).lag_seconds == 3600.0  # nothing else is known
    assert found._lag("b:1", 0, 3600.0).lag_seconds == 0.0
    behind = found._lag("b:1", 100, 3600.0)
    assert behind.lag_bytes == 100
    assert behind.lag_seconds is not None
    assert behind.lag_seconds < 5
    assert found._lag("b:1", 100, -0.2).lag_seconds == 0.0  # clocks differ


async def test_files_that_cannot_be_used_are_the_problem_of_every_host(tmp_path: Path) -> None:
    status = (await idle(tmp_path)._probe()).to_json()
    assert (status["primary"], status["at"]) == (None, None)
    assert [each["host"] for each in status["replicas"]] == ["a:1", "b:1"]
    assert all("database.ca_file" in each["problem"] for each in status["replicas"])


async def test_a_server_of_another_system_is_no_replica(tmp_path: Path) -> None:
    primary = replicas._Answer("a:1", {"standby": False, "timeline": "00000001", "system": "1"})
    other = replicas._Answer("b:1", {"standby": True, "timeline": "", "system": "2"})
    told = await idle(tmp_path)._replica(other, primary, "0/10")
    assert (told.lag_bytes, told.problem) == (None, "is no copy of a:1, but another system")


def test_positions_are_compared_over_the_whole_length() -> None:
    assert lag_bytes("1/0", "0/FFFFFFFF") == 1
    assert lag_bytes("0/10", "0/20") == 0
