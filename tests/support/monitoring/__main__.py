"""python -m tests.support.monitoring up|query"""

from __future__ import annotations

import subprocess

import click

from tests.support.cluster import api
from tests.support.cluster.commands import one_sentence
from tests.support.cluster.progress import Progress
from tests.support.cluster.verify import KubectlFailed
from tests.support.monitoring import install
from tests.support.monitoring.query import Prometheus, QueryFailed

EXPECTED = (
    api.StepFailed,
    api.PodmanFailed,
    KubectlFailed,
    QueryFailed,
    subprocess.CalledProcessError,
)


@click.group(cls=one_sentence(*EXPECTED))
def main() -> None:
    """Prometheus in the test cluster; the images must be loaded before."""


@main.command()
def up() -> None:
    """Install it, or bring it up to date, and wait until it scrapes."""
    install.up(api.paths, Progress())


@main.command()
@click.argument("promql")
def query(promql: str) -> None:
    """Ask it, e.g. `query up`; prints a series per line."""
    for series in Prometheus(api.paths).query(promql):
        labels = ", ".join(f"{name}={value}" for name, value in sorted(series["metric"].items()))
        click.echo(f"{series['value'][1]}\t{labels}")


if __name__ == "__main__":
    main(prog_name="python -m tests.support.monitoring")
