"""Optional services of a runner: incident files, object store, event bus, database.

Each runs in its own task. None can stop or delay trading.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.oms.recorders import combine
from tradepulse_runner.state.incidents import mounted

# Imported on demand: a runner without a service doesn't load its client library.
# ruff: noqa: PLC0415


class Service(Protocol):
    """A running service. Stopped after the loop, so that it receives the loop's last records."""

    def status(self) -> dict[str, Any]:
        """The service's part of ``/status``, as JSON values."""

    async def stop(self) -> None:
        """Stop; whatever is not delivered yet stays on disk for the next process."""


def start_services(config: RunnerConfig, loop: LiveExecutionLoop) -> dict[str, Service]:
    """Start the configured services, before the loop starts. Returns them by their key in
    ``/status``. Raises :class:`ConfigError`."""
    made = {
        "incident": _incident,
        "object_store": _object_store,
        "bus": _event_bus,
        "database": _database,
    }
    services = {name: make(config, loop) for name, make in made.items()}
    return {name: service for name, service in services.items() if service is not None}


def _incident(config: RunnerConfig, loop: LiveExecutionLoop) -> Service | None:
    incident = mounted(config.state_dir, os.environ)
    if incident is not None:
        incident.start()
    return incident


def _object_store(config: RunnerConfig, loop: LiveExecutionLoop) -> Service | None:
    if config.object_store is None:
        return None
    from tradepulse_runner.store.uploads import Uploader

    own = loop.config
    uploader = Uploader(config.object_store, own.runner, own.state_dir, loop.metrics.registry)
    uploader.start()
    return uploader


def _event_bus(config: RunnerConfig, loop: LiveExecutionLoop) -> Service | None:
    if config.event_bus is None:
        return None
    from tradepulse_runner.bus.publisher import Publisher

    own = loop.config
    bus = Publisher(config.event_bus, own.runner, own.state_dir, loop.metrics.registry, os.environ)
    loop.recorder = combine(loop.recorder, bus)
    loop.on_signal.connect(bus.signalled)
    bus.start(loop.connectors)
    return bus


def _database(config: RunnerConfig, loop: LiveExecutionLoop) -> Service | None:
    if config.database is None:
        return None
    from tradepulse_runner.database.start import build_database

    database = build_database(config.database, loop, config.strategy.name)
    loop.recorder = combine(loop.recorder, database.recorder)
    database.start()
    return database
