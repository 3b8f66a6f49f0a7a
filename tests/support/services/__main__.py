"""Backing servers in the foreground, until Ctrl+C: ``python -m tests.support.services up``."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.support.cluster.commands import one_sentence
from tests.support.cluster.progress import Progress, StepFailed
from tests.support.services.alertmanager.server import Alertmanager
from tests.support.services.kafka.server import Kafka
from tests.support.services.objectstore.server import ObjectStore
from tests.support.services.openbao.server import OpenBao
from tests.support.services.postgres.server import Postgres
from tests.support.services.service import LOOPBACK, Service


def services() -> Sequence[Service]:
    """All that there are, in the order in which they are started."""
    return (Kafka(), ObjectStore(), Postgres(), Alertmanager(), OpenBao())


@click.group(cls=one_sentence(StepFailed))
def main() -> None:
    """Kafka, PostgreSQL and the others on this machine."""


@main.command()
@click.argument("names", nargs=-1)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen at.")
def up(names: Sequence[str], host: str) -> None:
    """Start the servers (all, or NAMES), tell how to connect, and wait for Ctrl+C."""
    known = {service.name: service for service in services()}
    if unknown := [name for name in names if name not in known]:
        raise click.ClickException(f"no server {unknown[0]!r}; there are {', '.join(known)}")
    progress = Progress()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="backing-")))
        folder.chmod(0o755)  # servers that refuse to run as root have users of their own
        for service in [known[name] for name in names or known]:
            with progress.step(service.name) as step:
                service.install(step)
                step.waits_for("it to answer")
                stack.callback(service.stop)
                facts = service.start(folder / service.name, host)
            for setting, value in facts.items():
                click.echo(f"  {setting}={value}")
        click.echo("Ctrl+C ends them.")
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # only now: children would inherit it
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
