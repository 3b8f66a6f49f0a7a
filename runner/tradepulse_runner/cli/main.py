"""`tradepulse-runner`: run, config, state, kill-switch, audit, bus, database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from tradepulse_runner import logs
from tradepulse_runner.app import run as run_app
from tradepulse_runner.cli import state as cli_state
from tradepulse_runner.cli.audit import audit
from tradepulse_runner.cli.bus import bus
from tradepulse_runner.cli.config import config as config_
from tradepulse_runner.cli.database import database
from tradepulse_runner.cli.killswitch import STATE_DIR, kill_switch
from tradepulse_runner.config.runner import load_config
from tradepulse_runner.errors import RestoreRefused, RunnerError
from tradepulse_runner.state import directory as state
from tradepulse_runner.state.backup import Expected
from tradepulse_runner.state.directory import Mode, Preparation
from tradepulse_runner.venues.catalog import BuildConnector, build_connector

#: Characters of an error: escaped in JSON, up to six bytes each, it fits into the 4 KiB that the
#: kubelet keeps.
_LONGEST_ERROR = 600


class PlainErrorGroup(click.Group):
    """Shows a deliberate error as its text instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RunnerError as error:
            click.ClickException(str(error)).show()
            raise click.exceptions.Exit(error.exit_code) from error


@click.group(cls=PlainErrorGroup)
@click.version_option(package_name="tradepulse")
def main() -> None:
    """TradePulse runner: one process that trades at one or more venues.

    \b
    Start here:
      tradepulse-runner config check --config configs/paper.yaml
      tradepulse-runner run --config configs/paper.yaml
      curl http://127.0.0.1:8080/status
    Stop trading at once:
      tradepulse-runner kill-switch engage --state-dir DIR --reason TEXT

    configs/README.md describes every field of the configuration file.
    """


@main.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration file, e.g. configs/paper.yaml.",
)
@click.option("--log-level", default="INFO", show_default=True, help="Level of the JSON logs.")
def run(path: Path, log_level: str) -> None:
    """Trade until SIGTERM or SIGINT; then cancel open orders, save the state and stop."""
    trade(path, log_level)


@main.group("state")
def state_() -> None:
    """Inspect, verify, back up and restore a state directory."""


@state_.command("prepare")
@STATE_DIR
@click.option("--backup", help="Create a backup with this id.")
@click.option("--restore", help="Restore the backup with this id, once.")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.RESTORE.value,
    show_default=True,
    help="What --restore does with the current state.",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of backups to keep.",
)
@click.option(
    "--incident-dir",
    type=click.Path(path_type=Path),
    help="Directory of an incident report to copy into the state.",
)
def prepare(
    state_dir: Path,
    backup: str | None,
    restore: str | None,
    mode: Mode,
    keep: int,
    incident_dir: Path | None,
) -> None:
    """Back up or restore before the runner starts, as its init container does; idempotent."""
    # By environment, not by argument: an older release ignores unknown variables.
    expected = Expected(
        sha256=os.environ.get("TRADEPULSE_RESTORE_SHA256", ""),
        nonce=os.environ.get("TRADEPULSE_RESTORE_NONCE", ""),
    )
    wanted = Preparation(backup, restore, Mode(mode), keep, incident_dir, expected)
    try:
        result = state.prepare(state_dir, wanted, clock=time.time)
    except (RunnerError, OSError) as error:
        refused = isinstance(error, RestoreRefused)
        _write_result({"ok": False, "refused": refused, "error": str(error)[:_LONGEST_ERROR]})
        sys.exit(1)
    _write_result(result)


@state_.command("inspect")
@STATE_DIR
def inspect(state_dir: Path) -> None:
    """Show the contents of the state directory as JSON."""
    click.echo(json.dumps(state.inspect(state_dir, clock=time.time), indent=2))


@state_.command("verify")
@STATE_DIR
def verify(state_dir: Path) -> None:
    """Check every snapshot, journal and backup; print each damaged one and exit 1."""
    problems = state.problems(state_dir, clock=time.time)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(1)
    click.echo("every snapshot, journal and backup is intact")


main.add_command(config_)
main.add_command(kill_switch)
main.add_command(audit)
main.add_command(bus)
main.add_command(database)
for command in (cli_state.restore, cli_state.stored, cli_state.export):
    state_.add_command(command)


def trade(path: Path, log_level: str, *, connectors: BuildConnector = build_connector) -> None:
    """The ``run`` command; ``connectors`` makes a connector for each venue."""
    config = load_config(path)
    logs.configure(f"{config.runner.namespace}/{config.runner.name}", log_level)
    asyncio.run(run_app(config, path, connectors=connectors))


def _write_result(result: dict[str, Any]) -> None:
    """Write one line of JSON to standard output and to the pod's termination message."""
    text = json.dumps(result)
    click.echo(text)
    if path := os.environ.get("TRADEPULSE_TERMINATION_LOG"):
        Path(path).write_text(text)


if __name__ == "__main__":
    main()
