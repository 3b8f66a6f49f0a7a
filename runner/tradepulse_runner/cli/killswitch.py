"""`tradepulse-runner kill-switch`: status, engage, reset, drill."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tradepulse_runner.config.runner import load_config
from tradepulse_runner.drill.rehearsal import drill
from tradepulse_runner.drill.report import as_message, write_report
from tradepulse_runner.errors import StateError
from tradepulse_runner.files.lock import LOCK_FILE
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.killreport import read_report
from tradepulse_runner.release import load_release
from tradepulse_runner.timestamps import rfc3339

STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/tradepulse"),
    show_default=True,
    help="The runner's state directory.",
)


def _text(what: str) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
        if not value.strip():
            raise click.BadParameter(what)
        return value.strip()

    return check


@click.group("kill-switch")
def kill_switch() -> None:
    """Stop trading, and allow it again."""


@kill_switch.command("status")
@STATE_DIR
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(state_dir: Path, as_json: bool) -> None:
    """Show whether the kill switch is engaged and why, its history, and uncancelled orders."""
    latch, report = _latch(state_dir), read_report(state_dir)
    if as_json:
        shown = {"engaged": latch.engaged, "reason": latch.reason, "history": latch.history}
        click.echo(json.dumps({**shown, "report": report}, indent=2))
        return
    click.echo(f"engaged: {latch.reason}" if latch.engaged else "not engaged")
    for entry in latch.history:
        who = f" by {entry['by']}" if entry["by"] else ""
        click.echo(f"  {_when(entry)} {entry['event']}{who}: {entry['reason']}")
    if latch.engaged and report:
        left = report["uncancelled"]
        click.echo(f"not cancelled: {len(left)} orders ({_when(report)})")
        for order in left:
            click.echo("  {venue} {order} {side} {remaining} {symbol}: {why}".format(**order))


@kill_switch.command("engage")
@STATE_DIR
@click.option(
    "--reason",
    required=True,
    callback=_text("say why trading stops"),
    help="Why trading stops.",
)
@click.option("--by", default="", help="Your name.")
def engage(state_dir: Path, reason: str, by: str) -> None:
    """Engage the kill switch. A running runner cancels every order within moments (it polls every
    0.25 s); a stopped one will not trade when it starts."""
    latch = _latch(state_dir)
    if latch.engage(reason, by=by.strip()):
        click.echo(f"engaged: {reason}")
    else:
        click.echo(f"was engaged already: {latch.reason}")


@kill_switch.command("reset")
@STATE_DIR
@click.option(
    "--by",
    required=True,
    callback=_text("a person's name is needed"),
    help="Your name: you take responsibility for resuming trading.",
)
@click.option(
    "--reason",
    required=True,
    callback=_text("say why trading may go on"),
    help="What was wrong, and how it was resolved.",
)
def reset(state_dir: Path, by: str, reason: str) -> None:
    """Reset the kill switch. A running runner reconciles with its venues and resumes trading."""
    _latch(state_dir).reset(by=by, reason=reason)
    click.echo(f"reset by {by}: {reason}")


@kill_switch.command("drill")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration file whose limits and symbols the drill uses.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Report to write: FILE.md and FILE.json.",
)
@click.option(
    "--orders",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Number of resting orders to cancel, as far as the risk limits permit.",
)
def run_drill(path: Path, report: Path, orders: int) -> None:
    """Rehearse the kill switch on paper venues, in a temporary directory. Exit 1 on failure."""
    config = load_config(path)
    # A rehearsal must not trigger alerts on log lines.
    logging.disable()
    try:
        result = asyncio.run(drill(config, orders=orders))
    finally:
        logging.disable(logging.NOTSET)
    release = load_release()
    report_path, _ = write_report(report, result, config, release)
    if place := os.environ.get("TRADEPULSE_TERMINATION_LOG"):
        Path(place).write_text(as_message(result), encoding="utf-8")
    for check in result.checks:
        click.echo(f"{'pass' if check.passed else 'FAIL'}  {check.name}  {check.detail}".rstrip())
    click.echo(f"{'passed' if result.passed else 'FAILED'}: {report_path}")
    if not result.passed:
        sys.exit(1)


def _latch(state_dir: Path) -> KillSwitch:
    """The latch. Raises :class:`StateError` for a directory that no runner has used."""
    if not (state_dir / LOCK_FILE).exists():
        raise StateError(
            f"{state_dir}: no runner has used this directory; remedy: give --state-dir the"
            " runner's own"
        )
    return KillSwitch(state_dir, clock=time.time)


def _when(entry: dict[str, Any]) -> str:
    return rfc3339(entry["at"])
