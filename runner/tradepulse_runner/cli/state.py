"""`tradepulse-runner state restore`, `stored` and `export`: manual operations."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from tradepulse_runner.cli.killswitch import STATE_DIR
from tradepulse_runner.cli.store import open_folder, store_options
from tradepulse_runner.files.lock import locked
from tradepulse_runner.state import directory as state
from tradepulse_runner.store import bundles


@click.command()
@STATE_DIR
@click.option("--backup", required=True, help="Id of the backup, see 'state inspect'.")
@click.option(
    "--from", "url", help="Download the backup first from s3://BUCKET/FOLDER-OF-THE-RUNNER."
)
@store_options
def restore(state_dir: Path, backup: str, url: str | None, **store: Any) -> None:
    """Restore a backup while the runner is stopped. The current state is saved as another backup;
    the kill switch and the writer epoch are not changed. With --from, every checksum is verified
    before anything changes."""
    if url is not None:
        with locked(state_dir):
            root = open_folder(url, **store)
            asyncio.run(bundles.download(root, state_dir, backup, clock=time.time))
    click.echo(json.dumps(state.restore(state_dir, backup, clock=time.time), indent=2))


@click.command()
@click.option("--from", "url", required=True, help="s3://BUCKET/FOLDER-OF-THE-RUNNER.")
@store_options
def stored(url: str, **store: Any) -> None:
    """List the backups and incident reports in the object store."""
    for name in asyncio.run(bundles.stored(open_folder(url, **store))):
        click.echo(name)


@click.command()
@STATE_DIR
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that does not exist yet; default: standard output.",
)
def export(state_dir: Path, output: Path | None) -> None:
    """Export the state as one JSON document for a support ticket: order books, journals, kill
    switch, epoch, checksums, problems. Contains orders and positions, no credentials. Read-only."""
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
