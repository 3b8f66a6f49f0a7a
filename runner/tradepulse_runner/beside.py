"""What runs beside the trading where it is configured; none of it can stop or delay the trading."""

from __future__ import annotations

import os
from typing import Any, Protocol

from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.oms.recorders import combine
from tradepulse_runner.state.incidents import mounted

# Each import is where it is needed: whoever doesn't use a part doesn't pay for importing it.
# ruff: noqa: PLC0415


class Service(Protocol):
    """Runs since it was made; stopped after the loop, so that it has what that said last."""

    def status(self) -> dict[str, Any]:
        """For ``/status``: JSON values."""

    async def stop(self) -> None:
        """Leaves nothing behind that the next start can't go on with."""


def start_services(config: RunnerConfig, loop: LiveExecutionLoop) -> dict[str, Service]:
    """Those that are asked for, by their name in ``/status``; before the loop starts."""
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
