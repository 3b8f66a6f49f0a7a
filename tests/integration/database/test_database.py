"""The database against real servers: nothing lost, nothing doubled, nothing changed unseen."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.runner import database_child
from tests.support.runner.alerting_fixtures import Stack
from tests.support.runner.database_fixtures import (
    assert_whole,
    config,
    migrated,
    problems,
    rows,
    using,
)
from tests.support.runner.process import ROOT, RunnerProcess, cli, environment, eventually
from tests.support.runner.runner_fixtures import until
from tests.support.services.postgres.server import OWNER, SUPERUSER, WRITER, Postgres
from tests.support.services.service import free_port
from tests.support.services.tls import Authority
from tradepulse_runner.database import audit, schema
from tradepulse_runner.database.audit import Entry
from tradepulse_runner.database.connection import connect
from tradepulse_runner.database.errors import DatabaseError
from tradepulse_runner.database.snapshots import Snapshots
from tradepulse_runner.database.writer import BATCH, DatabaseWriter
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.oms.journal import Journal


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A primary and its asynchronous replica, with the newest schema."""
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


@pytest.fixture
def fresh(server: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of an empty database."""
    name = f"fresh_{abs(hash(request.node.name)) % 10**8}"
    create = f"CREATE DATABASE {name} OWNER {OWNER}"
    asyncio.run(server.execute(server.primary, create, database="postgres"))
    yield name
    drop = f"DROP DATABASE {name} WITH (FORCE)"
    asyncio.run(server.execute(server.primary, drop, database="postgres"))


@pytest.fixture
def runner(server: Postgres, tmp_path: Path) -> Iterator[RunnerProcess]:
    """A trading process of this test's own name that knows both servers."""
    name = f"r-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-").lower()
    raw = config(server).model_dump(mode="json")
    found = RunnerProcess(tmp_path / "run", runner={"name": name}, database=raw)
    found.config["strategy"]["parameters"]["orders_per_second"] = 20
    yield found
    found.close()


def full_name(runner: RunnerProcess) -> str:
    return f"default/{runner.config['runner']['name']}"


def entries(count: int, first: int = 1) -> list[tuple[int, Entry]]:
    return [
        (n, Entry(f"id-{n}", 1.5e9 + n, 1, "paper", "status", json.dumps({"seq": n})))
        for n in range(first, first + count)
    ]


# -- the schema --------------------------------------------------------------------------------


async def test_two_who_migrate_at_once_apply_each_migration_once(
    server: Postgres, fresh: str
) -> None:
    known = schema.migrations()
    found = await asyncio.gather(
        *(using(server, lambda c: schema.migrate(c, known), database=fresh) for _ in range(2))
    )
    assert sorted(len(each) for each in found) == [0, len(known)]


async def test_a_migration_that_was_changed_after_its_release_is_refused(
    server: Postgres, fresh: str
) -> None:
    await migrated(server, fresh)
    changed = [replace(each, sql=each.sql + "\n") for each in schema.migrations()]
    with pytest.raises(DatabaseError, match="applied with another text"):
        await using(server, lambda c: schema.migrate(c, changed), database=fresh)


NEXT = """-- oldest: 2
ALTER TABLE tradepulse.audit_records ADD COLUMN region text NOT NULL DEFAULT 'unknown';
ALTER TABLE tradepulse.audit_heads ADD COLUMN closed_at timestamptz;
CREATE INDEX audit_records_kind ON tradepulse.audit_records (kind);
CREATE TABLE tradepulse.something_new (id bigint PRIMARY KEY);
"""


async def test_this_release_runs_on_the_next_one_s_schema(server: Postgres, fresh: str) -> None:
    """The state after a rollback: the newer release migrated, then this one came back."""
    known = schema.migrations()
    newer = [*known, schema.parse("0003_next.sql", NEXT)]
    await using(server, lambda c: schema.migrate(c, newer), database=fresh)

    assert await using(server, lambda c: schema.migrate(c, known), database=fresh) == []
    connection = await connect(config(server, server.primary, name=fresh))
    assert await schema.require(connection, known[-1].version) == 3
    _, stored = await audit.append(connection, "ns/r", "origin", entries(20))
    assert stored == 20
    assert [text async for text in audit.problems(connection, "ns/r")] == []
    await connection.close()


async def test_a_release_refuses_a_schema_that_it_is_too_old_or_too_new_for(
    server: Postgres, fresh: str
) -> None:
    """One that no longer has what it needs, and one that doesn't have it yet."""
    known = schema.migrations()
    reader = await connect(config(server, server.primary, name=fresh))
    with pytest.raises(DatabaseError, match="run 'tradepulse-runner database migrate'"):
        await schema.require(reader, known[-1].version)
    contracting = schema.parse("0003_less.sql", "-- oldest: 3\nSELECT 1;")
    await using(server, lambda c: schema.migrate(c, [*known, contracting]), database=fresh)
    with pytest.raises(DatabaseError, match="run a newer release"):
        await schema.require(reader, known[-1].version)
    await reader.close()


# -- who may do what ---------------------------------------------------------------------------


@pytest.mark.parametrize("user", [WRITER, OWNER, SUPERUSER])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tradepulse.audit_records SET kind = 'x'",
        "DELETE FROM tradepulse.audit_records",
        "TRUNCATE tradepulse.audit_records",
    ],
)
async def test_audit_records_are_appended_to_and_never_changed(
    server: Postgres, user: str, statement: str
) -> None:
    """The writer lacks the grant; whoever has it is refused by the trigger."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
        await using(server, lambda c: c.execute(statement), user)
    assert ("append-only" in str(refused.value)) is (user != WRITER)


async def test_a_certificate_of_another_name_or_authority_is_refused(
    server: Postgres, tmp_path: Path
) -> None:
    good = config(server, server.primary)
    with pytest.raises(DatabaseError, match="refused our certificate"):
        await connect(good.model_copy(update={"user": OWNER}))
    other = Authority(tmp_path)
    pair = other.issue(WRITER)
    with pytest.raises(DatabaseError, match="certificate is not believed"):
        await connect(good.model_copy(update={"ca_file": other.certificate}))
    stranger = {"cert_file": pair.certificate, "key_file": pair.key}
    with pytest.raises(DatabaseError):
        await connect(good.model_copy(update=stranger))
    mixed = {"cert_file": pair.certificate}
    with pytest.raises(ConfigError, match="belong together"):
        await connect(good.model_copy(update=mixed))


async def test_a_server_under_another_name_is_not_believed(server: Postgres) -> None:
    """verify-full: the certificate says 127.0.0.1 and localhost, and this is neither."""
    here = config(server, server.primary, hosts=[f"127.0.0.2:{server.primary.port}"])
    with pytest.raises(DatabaseError):
        await connect(here)
    named = config(server, server.primary, hosts=[f"localhost:{server.primary.port}"])
    await (await connect(named)).close()


# -- each record once --------------------------------------------------------------------------


async def test_what_is_sent_again_is_stored_once_under_any_origin(server: Postgres) -> None:
    connection = await connect(config(server, server.primary))
    first, stored = await audit.append(connection, "ns/again", "a", entries(10))
    again, none = await audit.append(connection, "ns/again", "a", entries(10))
    assert (stored, none) == (10, 0)
    assert again == first
    # A new volume, whose spool counts anew: known by what happened.
    end, few = await audit.append(connection, "ns/again", "b", entries(12))
    assert (few, end.seq, end.position) == (2, 12, 12)
    await connection.close()
    assert await problems(server, "ns/again") == []


async def test_two_writers_at_once_make_one_chain(server: Postgres) -> None:
    """A pod that lingers beside its successor."""
    both = [await connect(config(server, server.primary)) for _ in range(2)]
    await asyncio.gather(
        *(
            audit.append(both[n % 2], "ns/both", f"o{n % 2}", entries(5, 1 + 5 * n))
            for n in range(2)
        )
    )
    await asyncio.gather(
        *(audit.append(c, "ns/both", f"o{n}", entries(30, 11)) for n, c in enumerate(both))
    )
    for connection in both:
        await connection.close()
    found = await rows(server, "ns/both")
    assert [row["seq"] for row in found] == list(range(1, 41))
    assert await problems(server, "ns/both") == []


KILLS = [
    ("spool.appended", 130),
    ("database.insert", 2),
    ("database.committed", 2),
    ("rename", 1),
]


def test_kill_9_anywhere_between_journal_and_spool_loses_and_doubles_nothing(
    server: Postgres, tmp_path: Path
) -> None:
    state, path, name = tmp_path / "state", tmp_path / "config.json", "ns/killed"
    path.write_text(config(server, server.primary).model_dump_json())
    goal = 0
    for step, nth in [*KILLS, ("", 0)]:
        goal += 1000
        assert run_child(path, state, name, goal, step, nth) == (-9 if step else 0), step
    found = assert_whole(server, name, state)
    assert len(found) == goal

    # The spool of before, as after a power cut that the journal survived: its numbers are old.
    before = tmp_path / "before"
    shutil.copytree(state / "database", before)
    assert run_child(path, state, name, goal + 700) == 0
    shutil.rmtree(state / "database")
    before.rename(state / "database")
    assert run_child(path, state, name, goal + 1000) == 0
    assert len(assert_whole(server, name, state)) == goal + 1000


def run_child(path: Path, state: Path, name: str, goal: int, step: str = "", nth: int = 0) -> int:
    """Exit code of a process that goes on until ``goal`` records are journalled and stored."""
    environ = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'runner'}"}
    words = [*map(str, (path, state, name, goal)), step, str(nth)]
    command = [sys.executable, "-m", database_child.__name__, *words]
    return subprocess.run(command, env=environ, check=False).returncode


# -- a chain that was tampered with --------------------------------------------------------------


TAMPERED = {
    "a body": (
        """UPDATE tradepulse.audit_records SET body = '{"seq": 4, "x": 1}'"""
        " WHERE runner = $1 AND seq = 4",
        "record 4: its digest does not fit",
    ),
    "one less": (
        "DELETE FROM tradepulse.audit_records WHERE runner = $1 AND seq = 5",
        "record 6: does not follow 4",
    ),
    "the end": (
        "DELETE FROM tradepulse.audit_records WHERE runner = $1 AND seq > 8",
        "the chain ends with record 8, but was written up to 10",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_tampering_is_found(server: Postgres, what: str) -> None:
    statement, expected = TAMPERED[what]
    name = f"ns/tampered-{what.replace(' ', '-')}"
    connection = await connect(config(server, server.primary))
    end, _ = await audit.append(connection, name, "a", entries(10))
    await connection.close()
    assert await problems(server, name, (end.seq, end.digest)) == []
    await tamper(server, statement, name)
    assert any(text.startswith(expected) for text in await problems(server, name))


async def tamper(server: Postgres, statement: str, name: str) -> None:
    """As somebody who may do anything, with the trigger out of the way."""

    async def change(connection: Any) -> None:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement, name)

    await using(server, change, SUPERUSER)


async def test_an_end_cut_off_with_its_head_is_found_by_what_the_runner_remembers(
    server: Postgres,
) -> None:
    connection = await connect(config(server, server.primary))
    eight, _ = await audit.append(connection, "ns/cut", "a", entries(8))
    ten, _ = await audit.append(connection, "ns/cut", "a", entries(2, 9))
    await connection.close()
    statement = "DELETE FROM tradepulse.audit_records WHERE runner = $1 AND seq > 8"
    await tamper(server, statement, "ns/cut")
    back = f"UPDATE tradepulse.audit_heads SET seq = 8, digest = '{eight.digest}' WHERE runner = $1"
    await tamper(server, back, "ns/cut")
    assert await problems(server, "ns/cut") == []
    found = await problems(server, "ns/cut", (ten.seq, ten.digest))
    assert found == ["record 10: the runner remembers another digest, or it is missing"]


# -- a runner ------------------------------------------------------------------------------------


def connected(status: dict[str, Any]) -> bool:
    return bool(status["database"]["connected"] and status["database"]["spool"] < BATCH)


def test_a_runner_killed_again_and_again_has_each_record_stored_once(
    server: Postgres, runner: RunnerProcess
) -> None:
    for _ in range(2):
        runner.start()
        runner.trade(40)
        runner.kill()
    runner.start()
    runner.trade(20)
    runner.halt()  # then nothing is left that a stop could be too short for
    runner.until(lambda s: s["database"]["connected"] and not s["database"]["spool"], "all of it")
    held = json.loads((runner.state_dir / "paper_oms.json").read_text())
    query = "SELECT payload FROM tradepulse.oms_snapshots WHERE runner = $1 AND sha256 = $2"

    def copied() -> list[Any]:
        ask = using(server, lambda c: c.fetch(query, full_name(runner), held["sha256"]))
        return list(asyncio.run(ask))

    (copy,) = eventually(copied, what="the newest snapshot")
    assert json.loads(copy["payload"]) == held["payload"]
    assert runner.end() == 0
    found = assert_whole(server, full_name(runner), runner.state_dir)
    assert {row["epoch"] for row in found} == {1, 2, 3}
    query = "SELECT payload FROM tradepulse.strategy_states WHERE runner = $1"
    states = asyncio.run(using(server, lambda c: c.fetch(query, full_name(runner))))
    assert "averages" in json.loads(states[0]["payload"])
    checked = cli("database", "verify", "--config", str(runner.folder / "runner.yaml"))
    assert checked.exit_code == 0, checked.output
    assert f"{len(found)} records, all in place (with the end" in checked.output


def test_without_a_database_the_runner_trades_and_its_kill_switch_works(
    server: Postgres, runner: RunnerProcess
) -> None:
    """And what happened meanwhile is stored once there is one."""
    good = runner.config["database"]
    runner.config["database"] = {**good, "hosts": [f"127.0.0.1:{free_port()}"]}
    runner.start()
    runner.trade(30)
    assert runner.metrics()["tradepulse_database_up"] == 0
    engaged = cli(
        *("kill-switch", "engage", "--state-dir", str(runner.state_dir)),
        *("--by", "ann", "--reason", "drill"),
    )
    assert engaged.exit_code == 0, engaged.output
    runner.until(lambda s: s["kill_switch"]["engaged"], "the kill switch")
    eventually(lambda: runner.venue_open() == 0, what="nothing open at the venue")
    waiting = runner.status()["database"]["spool"]
    assert waiting > 30
    assert runner.end() == 0

    runner.config["database"] = good
    runner.start()
    runner.until(connected, "the database")
    assert runner.end() == 0
    found = assert_whole(server, full_name(runner), runner.state_dir)
    latched = [json.loads(row["body"]) for row in found if row["source"] == ".kill-switch"]
    assert [(each["event"], each["by"], each["reason"]) for each in latched] == [
        ("engaged", "ann", "drill")
    ]


def test_a_database_that_is_away_fires_an_alert_until_it_is_back(
    server: Postgres, runner: RunnerProcess, stack: Stack
) -> None:
    stack.watch("unstored", runner.start())
    runner.until(connected, "the database")
    server.primary.stop()  # the replica takes no writes
    told = stack.fires("TradePulseDatabaseBehind", "unstored")
    assert told["annotations"]["runbook_url"].endswith("/TradePulseDatabaseBehind.md")
    stack.ticketed("TradePulseDatabaseBehind", "unstored")
    runner.trade(5)
    server.primary.start()
    stack.over("TradePulseDatabaseBehind", "unstored")
    stack.ticketed("TradePulseDatabaseBehind", "unstored", "resolved")


def test_a_failover_to_a_replica_that_lagged_loses_and_doubles_nothing(
    server: Postgres, runner: RunnerProcess
) -> None:
    """Under load, and with commits that only the dead primary had."""
    runner.start()
    runner.trade(30)
    runner.until(connected, "the database")
    server.replica.stop()
    runner.trade(40)  # stored, and the replica doesn't have it
    before = runner.metrics()['tradepulse_database_rows_written_total{table="audit_records"}']
    server.primary.kill()
    runner.trade(20)  # nobody stores
    server.replica.start()
    server.primary, server.replica = server.replica, server.primary
    had = len(asyncio.run(rows(server, full_name(runner))))  # while nobody can write there
    assert had < before, "the replica had everything: the test would prove nothing"
    server.primary.promote()
    runner.until(connected, "the new primary")
    runner.trade(20)
    runner.until(connected, "the new primary")

    # The old primary comes back and still believes that it is one.
    server.replica.start()
    runner.end()
    runner.config["database"]["hosts"] = [
        server.where(server.replica),
        server.where(server.primary),
    ]
    runner.start()
    runner.until(connected, "the newer timeline")
    assert runner.end() == 0
    assert_whole(server, full_name(runner), runner.state_dir)
    assert any(runner_log(runner, "database.was_set_back"))
    server.replica.stop()
    server.follow(server.replica, server.primary)


def runner_log(runner: RunnerProcess, message: str) -> list[str]:
    texts = [path.read_text() for path in runner.folder.glob("log.*")]
    return [line for text in texts for line in text.splitlines() if message in line]


async def test_certificates_that_are_replaced_under_load_are_used_and_nothing_is_lost(
    server: Postgres, tmp_path: Path
) -> None:
    folder, name = tmp_path / "tls", "ns/rotated"
    rotate(server, folder)
    files: dict[str, Any] = {"cert_file": folder / "tls.crt", "key_file": folder / "tls.key"}
    journal = Journal(tmp_path, "paper")
    journal.recover(tmp_path)
    writer = DatabaseWriter(
        config(server, server.primary, **files),
        name,
        tmp_path,
        CollectorRegistry(),
        Snapshots(tmp_path, name, [], "none", lambda: None, clock=time.time),
        epoch=lambda: 1,
    )
    writer.recorder.opened("paper", journal.seq)
    writer.start()

    async def load() -> None:
        while True:
            record = {"t": "status", "id": f"order-{journal.seq + 1}"}
            writer.recorder.recorded("paper", journal.append(record), record, None)
            await asyncio.sleep(0.005)

    busy = asyncio.create_task(load())
    await until(lambda: writer.status()["connected"], seconds=60)
    before = after = await serial(server)
    rotate(server, folder)
    async with asyncio.timeout(60):
        while after in (None, before):  # None: between two connections
            after = await serial(server)
    busy.cancel()
    await until(lambda: not writer.status()["spool"], seconds=60)
    await writer.stop()
    assert after != before
    assert [json.loads(row["body"])["seq"] for row in await rows(server, name)] == list(
        range(1, journal.seq + 1)
    )


def rotate(server: Postgres, folder: Path) -> None:
    """A new pair of the same name, as a mounted Secret gets it."""
    pair = server.authority.issue(WRITER)
    folder.mkdir(exist_ok=True)
    for source, target in ((pair.certificate, "tls.crt"), (pair.key, "tls.key")):
        shutil.copy(source, folder / f".{target}")
        (folder / f".{target}").rename(folder / target)


async def serial(server: Postgres) -> Any:
    """Of the certificate that the newest runner's connection showed."""
    query = (
        "SELECT client_serial FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE application_name = 'tradepulse-runner' ORDER BY backend_start DESC LIMIT 1"
    )
    return await using(server, lambda c: c.fetchval(query), SUPERUSER)


# -- a point in time -----------------------------------------------------------------------------


async def test_recovery_to_the_moment_before_a_bad_delete(server: Postgres) -> None:
    """The drill of docs/operations.md: base backup, archived WAL, a moment, verification."""
    connection = await connect(config(server, server.primary))
    await audit.append(connection, "ns/pitr", "a", entries(50))
    backup = await asyncio.to_thread(server.base_backup, "pitr")
    end, _ = await audit.append(connection, "ns/pitr", "a", entries(50, 51))
    moment = await connection.fetchval("SELECT clock_timestamp()::text")
    await connection.close()
    await tamper(server, "DELETE FROM tradepulse.audit_records WHERE runner = $1", "ns/pitr")
    assert await rows(server, "ns/pitr") == []
    await asyncio.to_thread(server.archive_now)

    node = await asyncio.to_thread(server.recover, backup, moment)
    try:
        await asyncio.to_thread(server.until_writable, node)
        assert len(await rows(server, "ns/pitr", node)) == 100
        recovered = await connect(config(server, node))
        anchor = (end.seq, end.digest)
        assert [text async for text in audit.problems(recovered, "ns/pitr", anchor)] == []
        # And a runner goes on there: what the recovered server lacks is sent again.
        await audit.append(recovered, "ns/pitr", "a", entries(5, 101))
        await recovered.close()
        assert len(await rows(server, "ns/pitr", node)) == 105
    finally:
        await asyncio.to_thread(node.stop)


# -- the command line ------------------------------------------------------------------------------


def test_migrate_and_status_by_hand(server: Postgres, fresh: str, tmp_path: Path) -> None:
    raw = config(server, server.primary, name=fresh).model_dump(mode="json")
    process = RunnerProcess(tmp_path / "cli", database=raw)
    path = process.folder / "runner.yaml"
    path.write_text(yaml.safe_dump(process.config))
    refused = cli("database", "migrate", "--config", str(path))
    assert refused.exit_code == 1
    assert "InsufficientPrivilege" in refused.output
    pair = server.pairs[OWNER]
    who = ("--user", OWNER, "--cert-file", str(pair.certificate), "--key-file", str(pair.key))
    done = cli("database", "migrate", "--config", str(path), *who)
    assert done.exit_code == 0, done.output
    assert "2 migrations applied" in done.output
    again = cli("database", "migrate", "--config", str(path), *who)
    assert "nothing to apply" in again.output
    shown = cli("database", "status", "--config", str(path))
    assert json.loads(shown.output) == {"schema": 2, "records": 0, "digest": audit.GENESIS}
    with suppress(FileNotFoundError):
        path.unlink()
