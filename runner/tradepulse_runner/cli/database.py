"""`tradepulse-runner database`: migrate, verify, status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tradepulse_runner.config.database import DatabaseConfig
from tradepulse_runner.config.runner import RunnerConfig, load_config
from tradepulse_runner.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("database")
def database() -> None:
    """PostgreSQL: migrate the schema, verify the audit trail."""


def _options(command: F) -> F:
    for option in (
        click.option("--key-file", type=_FILE, help="PEM private key of --cert-file."),
        click.option(
            "--cert-file", type=_FILE, help="PEM client certificate instead of the configuration's."
        ),
        click.option("--user", help="Connect as this role instead of the configuration's."),
        click.option(
            "--config", "path", type=_FILE, required=True, help="The runner's configuration file."
        ),
    ):
        command = option(command)
    return command


# Imported on demand: the PostgreSQL client is needed only here.


@database.command("migrate")
@_options
def migrate(path: Path, **overrides: Any) -> None:
    """Apply the missing schema migrations, as the schema's owner; idempotent."""
    from tradepulse_runner.database import commands  # noqa: PLC0415

    applied = commands.migrate(_load(path, overrides)[1])
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"{len(applied)} migrations applied" if applied else "nothing to apply")


@database.command("verify")
@_options
def verify(path: Path, **overrides: Any) -> None:
    """Verify every audit record of the runner and its hash chain; compare its end with the state
    directory. Print each problem and exit 1."""
    from tradepulse_runner.database import commands  # noqa: PLC0415

    runner, config = _load(path, overrides)
    wrong, summary = commands.verify(config, _name(runner), runner.state_dir)
    for problem in wrong:
        click.echo(problem, err=True)
    if wrong:
        sys.exit(1)
    click.echo(summary)


@database.command("status")
@_options
def status(path: Path, **overrides: Any) -> None:
    """Show the schema version and the length of the runner's audit trail as JSON."""
    from tradepulse_runner.database import commands  # noqa: PLC0415

    runner, config = _load(path, overrides)
    click.echo(json.dumps(commands.status(config, _name(runner)), indent=2))


def _name(config: RunnerConfig) -> str:
    return f"{config.runner.namespace}/{config.runner.name}"


def _load(path: Path, overrides: dict[str, Any]) -> tuple[RunnerConfig, DatabaseConfig]:
    config = load_config(path)
    if config.database is None:
        raise ConfigError(f"{path}: database: missing; remedy: say where it is")
    given = {name: value for name, value in overrides.items() if value is not None}
    return config, config.database.model_copy(update=given)
