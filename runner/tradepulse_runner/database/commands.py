"""What the commands of `tradepulse-runner database` do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.database import audit, schema
from tradepulse_runner.database.connection import Connection, connect
from tradepulse_runner.database.errors import FAILURES, DatabaseError, explain
from tradepulse_runner.database.writer import FOLDER
from tradepulse_runner.files.spool import STATE

T = TypeVar("T")


def migrate(config: DatabaseConfig) -> list[str]:
    """Names of the migrations that were applied."""
    applied = _with(config, lambda c: schema.migrate(c, schema.migrations()))
    return [f"{each.version:04d}_{each.name}" for each in applied]


def verify(config: DatabaseConfig, runner: str, state_dir: Path) -> tuple[list[str], str]:
    """Problems of the trail of ``runner``, and a summary of what was verified."""
    anchor = _anchor(state_dir)

    async def look(connection: Connection) -> tuple[list[str], int]:
        wrong = [text async for text in audit.problems(connection, runner, anchor)]
        return wrong, (await audit.head(connection, runner, "")).seq

    wrong, count = _with(config, look)
    known = "with" if anchor else "without"
    return wrong, f"{count} records, all in place ({known} the end that the runner remembers)"


def status(config: DatabaseConfig, runner: str) -> dict[str, Any]:
    """Schema version, and length and last digest of the chain of ``runner``."""

    async def look(connection: Connection) -> dict[str, Any]:
        version = await schema.require(connection, 1)
        end = await audit.head(connection, runner, "")
        return {"schema": version, "records": end.seq, "digest": end.digest}

    return _with(config, look)


def _with(config: DatabaseConfig, use: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await connect(config)
        try:
            return await use(connection)
        except FAILURES as error:
            raise DatabaseError(f"{', '.join(config.hosts)}: {explain(error)}") from None
        finally:
            await connection.close(timeout=config.connect_timeout)

    return asyncio.run(run())


def _anchor(state_dir: Path) -> tuple[int, str] | None:
    try:
        anchor = json.loads((state_dir / FOLDER / STATE).read_bytes())["notes"]["anchor"]
        return (int(anchor["seq"]), str(anchor["digest"])) if anchor["seq"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
