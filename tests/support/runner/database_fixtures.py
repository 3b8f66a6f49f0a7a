"""What tests of the database share: a migrated server, configurations, and what must hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.support.services.postgres.node import Node
from tests.support.services.postgres.server import OWNER, WRITER, Postgres
from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database import audit, schema
from tradepulse_runner.oms.journal import list_segments, scan

T = TypeVar("T")


def config(server: Postgres, *nodes: Node, user: str = WRITER, **changes: Any) -> DatabaseConfig:
    """Of ``nodes``, or of both servers."""
    pair = server.pairs[user]
    hosts = [server.where(node) for node in nodes or (server.primary, server.replica)]
    return DatabaseConfig.model_validate(
        {
            "hosts": sorted(hosts),
            "user": user,
            "ca_file": server.authority.certificate,
            "cert_file": pair.certificate,
            "key_file": pair.key,
            "connect_timeout": 5,
            "command_timeout": 10,
            **changes,
        }
    )


async def using(
    server: Postgres,
    use: Callable[[Any], Awaitable[T]],
    user: str = OWNER,
    *,
    node: Node | None = None,
    database: str = "tradepulse",
) -> T:
    """What ``use`` returns for a connection as ``user``."""
    connection = await server.connect(node or server.primary, user, database)
    try:
        return await use(connection)
    finally:
        await connection.close()


async def migrated(server: Postgres, database: str = "tradepulse") -> None:
    """The newest schema."""
    await using(server, lambda c: schema.migrate(c, schema.migrations()), database=database)


async def rows(server: Postgres, runner: str, node: Node | None = None) -> list[Any]:
    """The runner's audit records, in the chain's order."""
    query = "SELECT * FROM tradepulse.audit_records WHERE runner = $1 ORDER BY seq"
    found: list[Any] = await using(server, lambda c: c.fetch(query, runner), node=node)
    return found


async def problems(
    server: Postgres, runner: str, anchor: tuple[int, str] | None = None
) -> list[str]:
    async def look(connection: Any) -> list[str]:
        return [text async for text in audit.problems(connection, runner, anchor)]

    return await using(server, look)


def journalled(state_dir: Path, venue: str = "paper") -> set[int]:
    """Numbers of the journal's records that say something happened."""
    found: dict[int, dict[str, Any]] = {}
    for path in list_segments(state_dir, venue):
        found.update(scan(path.read_bytes()).records)
    return {seq for seq, record in found.items() if record["t"] != "cursor"}


def assert_whole(server: Postgres, runner: str, state_dir: Path) -> Sequence[Any]:
    """Each record of the journal is in the database once, and the chain holds; the rows."""
    found = asyncio.run(rows(server, runner))
    assert asyncio.run(problems(server, runner)) == []
    numbers = [json.loads(row["body"])["seq"] for row in found if row["source"] == "paper"]
    there = journalled(state_dir)
    assert there, "nothing was journalled: the test would prove nothing"
    assert len(numbers) == len(set(numbers)), "doubled"
    assert there <= set(numbers), "lost"
    return found
