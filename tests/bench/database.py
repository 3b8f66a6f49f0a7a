"""What the audit trail costs beside a bare asyncpg, and what a failover costs: ``make
bench-database``."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from tests.support.cluster.progress import Progress
from tests.support.runner.database_fixtures import config, migrated, problems, using
from tests.support.services.postgres.server import SUPERUSER, Postgres
from tradepulse_runner.database import audit
from tradepulse_runner.database.connection import Connection, connect
from tradepulse_runner.database.snapshots import Snapshots
from tradepulse_runner.database.writer import BATCH, DatabaseWriter
from tradepulse_runner.oms.journal import Journal

VENUE, RUNNER = "paper", "bench/failover"
_BARE = """
CREATE TABLE IF NOT EXISTS bare (runner text, seq bigint, record_id text, at double precision,
  epoch bigint, source text, kind text, body json, previous text, digest text,
  PRIMARY KEY (runner, seq), UNIQUE (runner, record_id));
CREATE INDEX IF NOT EXISTS bare_at ON bare (runner, at);
GRANT INSERT ON bare TO tradepulse_writer;
"""
Batch = Sequence[tuple[int, audit.Entry]]


@click.command()
@click.option("--rows", default=10_000, show_default=True, help="Of each round.")
@click.option("--rounds", default=5, show_default=True)
def main(rows: int, rounds: int) -> None:
    """Append rows to the chain and to a bare table, in turns; then fail over under load."""
    server = Postgres()
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as name:
        Path(name).chmod(0o755)
        with Progress().step("PostgreSQL") as step:
            server.install(step)
            server.start(Path(name) / "servers")
        try:
            asyncio.run(migrated(server))
            asyncio.run(using(server, lambda c: c.execute(_BARE), SUPERUSER))
            found = [asyncio.run(_round(server, number, rows)) for number in range(rounds)]
            _tell(found, rows)
            state = Path(name) / "state"
            state.mkdir()
            asyncio.run(_fail_over(server, state))
        finally:
            server.stop()


def _tell(found: list[tuple[float, float, float]], rows: int) -> None:
    chain, copy, many = (rows / statistics.median(column) for column in zip(*found, strict=True))
    click.echo(f"{rows} rows in transactions of {BATCH}, median of {len(found)}, loopback with TLS")
    click.echo(f"  audit trail (known ids, chain, position)  {chain:9,.0f} rows/s")
    click.echo(f"  bare asyncpg copy of the same rows        {copy:9,.0f} rows/s")
    click.echo(f"  bare asyncpg executemany                  {many:9,.0f} rows/s")
    click.echo(f"  audit trail / bare copy                   {chain / copy:9.2f}")
    click.echo(f"  audit trail / bare executemany            {chain / many:9.2f}")


async def _round(server: Postgres, number: int, rows: int) -> tuple[float, float, float]:
    entries = [
        (n, audit.Entry(f"{number}-{n}", 1.5e9 + n, 1, VENUE, "status", _body(n)))
        for n in range(1, rows + 1)
    ]
    batches = [entries[at : at + BATCH] for at in range(0, rows, BATCH)]
    connection = await connect(config(server, server.primary))
    try:
        return (
            await _chained(connection, f"bench/{number}", batches),
            await _bare_copy(connection, f"copy/{number}", batches),
            await _bare_many(connection, f"many/{number}", batches),
        )
    finally:
        await connection.close()


def _body(number: int) -> str:
    text = {"t": "status", "id": f"order-{number}", "status": "open", "venue_id": str(number)}
    return json.dumps({"seq": number, **text})


async def _chained(connection: Connection, name: str, batches: Sequence[Batch]) -> float:
    began = time.perf_counter()
    for batch in batches:
        await audit.append(connection, name, "bench", batch)
    return time.perf_counter() - began


async def _bare_copy(connection: Connection, name: str, batches: Sequence[Batch]) -> float:
    began = time.perf_counter()
    for batch in batches:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "bare", columns=audit.COLUMNS, records=_rows(name, batch)
            )
    return time.perf_counter() - began


async def _bare_many(connection: Connection, name: str, batches: Sequence[Batch]) -> float:
    places = ", ".join(f"${n}" for n in range(1, len(audit.COLUMNS) + 1))
    statement = f"INSERT INTO bare ({', '.join(audit.COLUMNS)}) VALUES ({places})"
    began = time.perf_counter()
    for batch in batches:
        async with connection.transaction():
            await connection.executemany(statement, _rows(name, batch))
    return time.perf_counter() - began


def _rows(name: str, batch: Batch) -> list[tuple[object, ...]]:
    dummy = "0" * 64
    return [
        (name, n, e.id, e.at, e.epoch, e.source, e.kind, e.body, dummy, dummy) for n, e in batch
    ]


# -- a failover ----------------------------------------------------------------------------------


async def _fail_over(server: Postgres, state: Path) -> None:
    """A hundred records a second, a primary that dies, a replica that is promoted at once."""
    journal = Journal(state, VENUE)
    journal.recover(state)
    writer = DatabaseWriter(
        config(server),
        RUNNER,
        state,
        CollectorRegistry(),
        Snapshots(state, RUNNER, [VENUE], "none", lambda: None, clock=time.time),
        epoch=lambda: 1,
    )
    writer.recorder.opened(VENUE, journal.seq)
    writer.start()
    load = asyncio.create_task(_load(journal, writer))
    await _until(lambda: journal.seq > 300 and _level(writer), "a first connection")
    began = time.perf_counter()
    await asyncio.to_thread(server.fail_over)
    promoted = time.perf_counter() - began
    await _until(lambda: not writer.status()["connected"], "the loss to be seen")
    await _until(lambda: _level(writer), "the new primary")
    back = time.perf_counter() - began
    load.cancel()
    await _until(lambda: not writer.status()["spool"], "the rest")
    await writer.stop()
    query = "SELECT count(*), count(DISTINCT record_id) FROM tradepulse.audit_records"
    (row,) = await using(server, lambda c: c.fetch(f"{query} WHERE runner = $1", RUNNER))
    wrong = await problems(server, RUNNER)
    click.echo("a failover under 100 records/s")
    click.echo(f"  kill and promotion                        {promoted:9.2f} s")
    click.echo(f"  until the new primary has everything      {back:9.2f} s")
    click.echo(f"  records {journal.seq}, lost {journal.seq - row[1]}, doubled {row[0] - row[1]}")
    if wrong or (row[0], row[1]) != (journal.seq, journal.seq):
        raise click.ClickException("records were lost or doubled, or the chain is broken")


def _level(writer: DatabaseWriter) -> bool:
    status = writer.status()
    return bool(status["connected"]) and int(status["spool"]) < 20


async def _load(journal: Journal, writer: DatabaseWriter) -> None:
    while True:
        record = {"t": "status", "id": f"order-{journal.seq + 1}", "status": "open"}
        writer.recorder.recorded(VENUE, journal.append(record), record, None)
        await asyncio.sleep(0.01)


async def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline:
            raise click.ClickException(f"waited 120 s for {what}")
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()
