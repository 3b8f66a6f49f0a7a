"""python -m tests.support.cluster up|down|status"""

from __future__ import annotations

import sys

import click
from rich.table import Table

from tests.support.cluster import lifecycle
from tests.support.cluster.commands import one_sentence
from tests.support.cluster.netguard import GuardFailed
from tests.support.cluster.podman import PodmanFailed
from tests.support.cluster.processes import Busy
from tests.support.cluster.progress import Progress, StepFailed
from tests.support.cluster.settings import Paths
from tests.support.cluster.verify import KubectlFailed

EXPECTED = (lifecycle.Refused, Busy, StepFailed, PodmanFailed, GuardFailed, KubectlFailed)


@click.group(cls=one_sentence(*EXPECTED))
def main() -> None:
    """A real Kubernetes cluster (kind on podman) for the demo and the end-to-end tests."""


@main.command()
def up() -> None:
    """Start the cluster; at once if it is healthy already."""
    lifecycle.up(Paths.default(), Progress())


@main.command()
def down() -> None:
    """Remove the cluster and every trace of it; the caches stay."""
    lifecycle.down(Paths.default(), Progress())


@main.command()
def status() -> None:
    """Tell how the cluster is; exit code 0 only if it is healthy."""
    checks = lifecycle.status(Paths.default())
    table = Table("check", "state", "detail")
    for check in checks:
        state = "[green]ok[/]" if check.ok else "[red]no[/]"
        table.add_row(check.name, state, check.detail)
    Progress().console.print(table)
    sys.exit(0 if all(check.ok for check in checks) else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.support.cluster")
