"""`tradepulse-runner config`: check."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from tradepulse_runner.config_check import check


@click.group("config")
def config() -> None:
    """Check a configuration file."""


@config.command("check")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration file.",
)
def check_(path: Path) -> None:
    """Check whether this release can run with a configuration and its secrets; exit 1 if not.

    Connects to nothing. The result is one line of JSON, also in the pod's termination message.
    """
    problems = check(path, os.environ)
    text = json.dumps(problems)
    click.echo(text)
    if log := os.environ.get("TRADEPULSE_TERMINATION_LOG"):
        Path(log).write_text(text)
    if not problems["ok"]:
        sys.exit(1)
