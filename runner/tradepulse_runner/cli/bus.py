"""`tradepulse-runner bus`: acls, record."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
from prometheus_client import CollectorRegistry, start_http_server

from tradepulse_runner import logs
from tradepulse_runner.bus.acls import commands, principal
from tradepulse_runner.config.bus import EventBusConfig
from tradepulse_runner.config.runner import load_config
from tradepulse_runner.errors import ConfigError

if TYPE_CHECKING:
    from tradepulse_runner.bus.consumer import Consumer

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration file; must have event_bus.",
)


@click.group("bus")
def bus() -> None:
    """Kafka: print ACLs, record events."""


@bus.command("acls")
@CONFIG
@click.option(
    "--principal",
    "who",
    help="Kafka user of the runner, e.g. User:CN=demo; default: its certificate's.",
)
@click.option(
    "--reader", help="Kafka user of the consumer, e.g. User:CN=recorder; default: no consumer."
)
@click.option(
    "--command-config",
    type=click.Path(path_type=Path),
    help="Administrator's client properties, passed to kafka-acls.",
)
def acls(path: Path, who: str | None, reader: str | None, command_config: Path | None) -> None:
    """Print the kafka-acls commands that grant what the configuration needs, and nothing else."""
    config = _bus(path)
    extra = ("--command-config", str(command_config)) if command_config else ()
    for line in commands(config, who or principal(config), reader=reader, extra=extra):
        click.echo(line)


@bus.command("record")
@CONFIG
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="SQLite file to record to (table: events).",
)
@click.option("--metrics-port", type=int, default=0, help="Port of the metrics endpoint; 0: none.")
def record(path: Path, target: Path, metrics_port: int) -> None:
    """Record every event once to a SQLite file, until SIGTERM."""
    # Imported on demand: the Kafka client is needed only here.
    from tradepulse_runner.bus import consumer, recorder  # noqa: PLC0415

    config = _bus(path)
    logs.configure(config.group, "INFO")
    registry = CollectorRegistry()
    if metrics_port:
        start_http_server(metrics_port, registry=registry)
    ledger = recorder.open_recorder(target)
    topics = [config.topic(stream) for stream in sorted(config.publish)]
    reader = consumer.Consumer(config, topics, recorder.record, ledger, registry, os.environ)
    asyncio.run(_until_stopped(reader))
    ledger.close()


async def _until_stopped(reader: Consumer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    task = asyncio.create_task(reader.run())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()  # raises an unexpected error


def _bus(path: Path) -> EventBusConfig:
    config = load_config(path).event_bus
    if config is None:
        raise ConfigError(f"{path}: event_bus: missing; remedy: add it, see configs/README.md")
    return config
