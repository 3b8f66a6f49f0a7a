"""`tradepulse-demo-runner`: the runner's own commands, but `run` trades with a defect."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tradepulse_demo.defects import load_defect
from tradepulse_runner.cli.main import PlainErrorGroup, trade
from tradepulse_runner.cli.main import main as runner

_shipped = runner.commands["run"]


def _run(path: Path, log_level: str) -> None:
    trade(path, log_level, connectors=load_defect(os.environ).build_connector)


main = PlainErrorGroup(
    help=runner.help,
    params=runner.params,
    commands={
        **runner.commands,
        "run": click.Command("run", callback=_run, params=_shipped.params, help=_shipped.help),
    },
)
