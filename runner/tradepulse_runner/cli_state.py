"""`tradepulse-runner state restore` and `state export`: what a person does by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from tradepulse_runner import state
from tradepulse_runner.cli_killswitch import STATE_DIR


@click.command()
@STATE_DIR
@click.option("--backup", required=True, help="Id of the backup, see 'state inspect'.")
def restore(state_dir: Path, backup: str) -> None:
    """Bring a backup back while no runner runs. The state of now is kept as another backup; the
    kill switch and the writer epoch stay as they are."""
    click.echo(json.dumps(state.restore(state_dir, backup, clock=time.time), indent=2))


@click.command()
@STATE_DIR
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that does not exist yet; standard output when left out.",
)
def export(state_dir: Path, output: Path | None) -> None:
    """Everything a ticket needs as one JSON: books, journals, latch, epoch, checksums, problems.
    Holds orders and positions, but no credentials. Changes nothing."""
    text = json.dumps(state.export(state_dir, clock=time.time), indent=2)
    if output is None:
        click.echo(text)
        return
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        raise click.ClickException(
            f"{output}: {error.strerror}; remedy: name a new file in a directory that exists"
        ) from error
    click.echo(str(output))
