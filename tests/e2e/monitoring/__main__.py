"""python -m tests.e2e.monitoring up|query"""

from __future__ import annotations

import subprocess

import click

from tests.e2e.cluster import api
from tests.e2e.cluster.commands import one_sentence
from tests.e2e.cluster.progress import Progress
from tests.e2e.cluster.verify import KubectlFailed
from tests.e2e.monitoring import install
from tests.e2e.monitoring.query import Prometheus, QueryFailed

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
    main(prog_name="python -m tests.e2e.monitoring")
