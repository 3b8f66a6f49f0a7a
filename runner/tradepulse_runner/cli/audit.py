"""`tradepulse-runner audit`: verify-signatures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tradepulse_runner.audit.signing import Keyring
from tradepulse_runner.audit.trail import FILE, chain_problems, read_trail
from tradepulse_runner.cli.killswitch import STATE_DIR
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.secret import AUDIT_SECRET, WatchedSecret


@click.group("audit")
def audit() -> None:
    """Verify the signed audit trail."""


@audit.command("verify-signatures")
@STATE_DIR
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the current and previous audit secrets, one per line; default: the secret that"
    " the environment names.",
)
def verify_signatures(state_dir: Path, keyring: Path | None) -> None:
    """Verify every record's signature and hash chain; print each invalid record and exit 1."""
    keys = Keyring.load(keyring) if keyring else _environment_keyring()
    path = state_dir / FILE
    problems = [f"record {seq}: {why}" for seq, why in chain_problems(read_trail(path))]
    count = 0
    for record in read_trail(path):
        count += 1
        if why := keys.problem(record.content, record.signature):
            problems.append(f"record {record.seq}: {why}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(1)
    click.echo(f"{count} records, all signed and in place")


def _environment_keyring() -> Keyring:
    secret = WatchedSecret.of(AUDIT_SECRET, os.environ)
    if secret is None:
        raise ConfigError(f"no keys; remedy: give --keyring FILE, or set {AUDIT_SECRET}_PATH")
    return Keyring([secret.value])
