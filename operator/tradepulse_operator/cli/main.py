"""The command line."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.incident import readiness as readiness_
from tradepulse_operator.incident import replay as replay_
from tradepulse_operator.manager import logging as logs
from tradepulse_operator.manager.options import Options

from . import promote as promote_
from .validate import problems


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepulse")
def main() -> None:
    """Moves releases of live trading runners on evidence, one writer at a time."""


@main.command()
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="Namespace to serve; may be given several times. All of them when left out, or `all`.",
)
@click.option(
    "--default-prometheus",
    default="",
    envvar="TRADEPULSE_PROMETHEUS",
    help="URL of the Prometheus for cutovers that name none.",
)
@click.option(
    "--workers",
    default=8,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Objects reconciled at a time.",
)
@click.option(
    "--resync",
    default=300.0,
    show_default=True,
    type=click.FloatRange(10, 86_400),
    help="Seconds within which every object is reconciled, even without an event.",
)
@click.option("--port", default=8080, show_default=True, help="Port of the probes and metrics.")
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
    help="Least severe message to log.",
)
def run(
    *,
    namespaces: tuple[str, ...],
    default_prometheus: str,
    workers: int,
    resync: float,
    port: int,
    log_level: str,
) -> None:
    """Run the operator with the credentials of its service account, or of $KUBECONFIG."""
    # `validate` must work where neither kopf nor a client is installed.
    from tradepulse_operator.manager import app  # noqa: PLC0415

    logs.configure(log_level)
    options = Options(
        namespaces=() if "all" in namespaces else namespaces,
        default_prometheus=default_prometheus,
        workers=workers,
        resync=resync,
        port=port,
        namespace=os.environ.get("POD_NAMESPACE", "default"),
        # A process of its own, even when the pod's name is the same.
        identity=f"{os.environ.get('POD_NAME', 'local')}_{uuid.uuid4()}",
    )
    asyncio.run(app.run(options))


@main.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
def validate(files: tuple[Path, ...]) -> None:
    """Check TradingRunners and ReleaseCutovers offline, as the API server would."""
    problems = [line for file in files for line in _check(file)]
    for line in problems:
        click.echo(line, err=True)
    if problems:
        sys.exit(1)
    click.echo(f"{len(files)} files are valid")


@main.command()
@click.argument("report", type=click.Path(exists=True, path_type=Path))
def replay(report: Path) -> None:
    """Derive the verdict of an incident REPORT once more, offline.

    REPORT is a directory with the report's files, or its ConfigMap as YAML or JSON. Exits with 1
    when another verdict follows, or when the report was changed.
    """
    try:
        result = replay_.replay(_parts(report))
    except replay_.Unreplayable as error:
        raise click.ClickException(str(error)) from error
    said = result.recorded
    click.echo(f"recorded: {said.verdict} at {said.at}: {said.message}")
    for one in result.derived:
        word = one.decisive
        click.echo(f"derived:  {word.kind} at {timestamp(one.at)}: {word.reason}: {word.message}")
    if result.baseline is not None:
        click.echo(f"baseline: {result.baseline or 'the same'}")
    click.echo(f"chain:    {result.chain or 'whole'}")
    if not result.agrees:
        raise click.ClickException("the samples of this report lead to another verdict")
    if result.chain:
        raise click.ClickException("this report was changed after it was filed")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def readiness(file: Path) -> None:
    """Write the release readiness of a ReleaseCutover as Markdown, offline.

    FILE is what `kubectl get rco NAME -o yaml` printed. Together with the TradingRunner (`kubectl
    get rco/NAME tr/RUNNER -o yaml`) the roles that the runner asks for are known, too.
    """
    objects = [item for document in _documents(file) for item in document.get("items", [document])]
    cutovers = [item for item in objects if item.get("kind") == ReleaseCutover.KIND]
    runners = [item for item in objects if item.get("kind") == TradingRunner.KIND]
    if len(cutovers) != 1:
        raise click.ClickException(f"{file}: {len(cutovers)} ReleaseCutovers: give exactly one")
    cutover = ReleaseCutover.model_validate(cutovers[0])
    mine = (TradingRunner.model_validate(item) for item in runners)
    runner = next((each for each in mine if each.metadata.name == cutover.spec.runner), None)
    click.echo(readiness_.readiness(cutover, runner), nl=False)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--validator",
    default="tradepulse-runner config check --config",
    show_default=True,
    help="Command of the release's own validator; the file's name is added.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail when something isn't promoted.")
def promote(folder: Path, validator: str, check: bool) -> None:
    """Promote settings to the environment of FOLDER (configs/dev, staging or production).

    Writes each runner's settings as an immutable ConfigMap of its version. Exits with 1, and writes
    nothing, when any of them is wrong or a version would change.
    """
    try:
        ask = promote_.runner_validator(shlex.split(validator))
        lines = promote_.promote(folder, ask, check=check)
    except promote_.Refused as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(lines))


def _documents(file: Path) -> list[dict[str, Any]]:
    try:
        return [item for item in yaml.safe_load_all(file.read_text()) if isinstance(item, dict)]
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file}: not valid YAML: {error}") from error


def _parts(report: Path) -> dict[str, str]:
    """A report's files: name → text."""
    if report.is_dir():
        return {file.name: file.read_text() for file in report.iterdir() if file.is_file()}
    try:
        config_map = yaml.safe_load(report.read_text())
    except yaml.YAMLError as error:
        raise click.ClickException(f"{report}: not valid YAML: {error}") from error
    data = config_map.get("data") if isinstance(config_map, dict) else None
    if not isinstance(data, dict):
        raise click.ClickException(f"{report}: not a ConfigMap with a report")
    return {str(name): str(text) for name, text in data.items()}


def _check(file: Path) -> Iterator[str]:
    try:
        documents = [item for item in yaml.safe_load_all(file.read_text()) if item is not None]
    except yaml.YAMLError as error:
        yield f"{file}: not valid YAML: {error}"
        return
    for number, document in enumerate(documents, 1):
        where = f"{file}" if len(documents) == 1 else f"{file} (document {number})"
        if not isinstance(document, dict):
            yield f"{where}: not a mapping: write a Kubernetes manifest"
            continue
        yield from (f"{where}: {problem}" for problem in problems(document))
