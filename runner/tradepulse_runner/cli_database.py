"""`tradepulse-runner database`: migrate, verify, status."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tradepulse_runner.config import RunnerConfig, load_config
from tradepulse_runner.database import audit, schema
from tradepulse_runner.database.config import DatabaseConfig
from tradepulse_runner.database.connection import Connection, connect
from tradepulse_runner.database.errors import FAILURES, DatabaseError, told
from tradepulse_runner.database.writer import FOLDER
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.spool import STATE

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("database")
def database() -> None:
    """The schema and the audit trail in PostgreSQL."""


def _options(command: F) -> F:
    for option in (
        click.option("--key-file", type=_FILE, help="Its key."),
        click.option("--cert-file", type=_FILE, help="Its certificate."),
        click.option("--user", help="Connect as this role instead of the configuration's."),
        click.option(
            "--config", "path", type=_FILE, required=True, help="The runner's configuration file."
        ),
    ):
        command = option(command)
    return command


@database.command("migrate")
@_options
def migrate(path: Path, **who: Any) -> None:
    """Bring the schema to what this release knows, as the schema's owner; safe to repeat."""
    _, config = _load(path, who)
    applied = _with(config, lambda c: schema.migrate(c, schema.migrations()))
    for each in applied:
        click.echo(f"applied {each.version:04d}_{each.name}")
    click.echo(f"{len(applied)} migrations applied" if applied else "nothing to apply")


@database.command("verify")
@_options
def verify(path: Path, **who: Any) -> None:
    """Check every audit record of the runner and its place in the chain; exit 1 and a sentence for
    each that is wrong. What the state directory remembers of the chain's end is checked, too."""
    found, config = _load(path, who)
    runner = f"{found.runner.namespace}/{found.runner.name}"
    anchor = _anchor(found.state_dir)

    async def look(connection: Connection) -> tuple[list[str], int]:
        wrong = [text async for text in audit.problems(connection, runner, anchor)]
        return wrong, (await audit.head(connection, runner, "")).seq

    wrong, count = _with(config, look)
    for problem in wrong:
        click.echo(problem, err=True)
    if wrong:
        sys.exit(1)
    known = "with" if anchor else "without"
    click.echo(f"{count} records, all in place ({known} the end that the runner remembers)")


@database.command("status")
@_options
def status(path: Path, **who: Any) -> None:
    """Show which schema is there and how long the runner's chain is, as JSON."""
    found, config = _load(path, who)
    runner = f"{found.runner.namespace}/{found.runner.name}"

    async def look(connection: Connection) -> dict[str, Any]:
        version = await schema.require(connection, 1)
        end = await audit.head(connection, runner, "")
        return {"schema": version, "records": end.seq, "digest": end.digest}

    click.echo(json.dumps(_with(config, look), indent=2))


def _load(path: Path, who: dict[str, Any]) -> tuple[RunnerConfig, DatabaseConfig]:
    found = load_config(path)
    if found.database is None:
        raise ConfigError(f"{path}: database: missing; remedy: say where it is")
    given = {name: value for name, value in who.items() if value is not None}
    return found, found.database.model_copy(update=given)


def _with(config: DatabaseConfig, use: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await connect(config)
        try:
            return await use(connection)
        except FAILURES as error:
            raise DatabaseError(f"{', '.join(config.hosts)}: {told(error)}") from None
        finally:
            await connection.close(timeout=config.connect_timeout)

    return asyncio.run(run())


def _anchor(state_dir: Path) -> tuple[int, str] | None:
    try:
        found = json.loads((state_dir / FOLDER / STATE).read_bytes())["notes"]["anchor"]
        return (int(found["seq"]), str(found["digest"])) if found["seq"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
