"""Builds a runner from its configuration and runs it until a signal or a failure ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradepulse_runner.config.runner import RunnerConfig, VenueConfig
from tradepulse_runner.credentials.store import open_stores
from tradepulse_runner.lease.api import build_writer
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.release import Release, load_release
from tradepulse_runner.risk.manager import RiskLimits, RiskManager
from tradepulse_runner.server import Server
from tradepulse_runner.services import start_services
from tradepulse_runner.strategy.catalog import build_strategy
from tradepulse_runner.venues.base import ExecutionConnector, always
from tradepulse_runner.venues.catalog import BuildConnector, build_connector
from tradepulse_runner.venues.fenced import Fenced

if TYPE_CHECKING:
    from tradepulse_runner.admin.start import Admin

log = logging.getLogger(__name__)


def build(
    config: RunnerConfig,
    release: Release,
    *,
    source: str,
    connectors: BuildConnector = build_connector,
) -> LiveExecutionLoop:
    """Build the trading loop of ``config``; ``connectors`` makes a connector for each venue. Raises
    :class:`ConfigError`."""
    stores = open_stores(config, os.environ)
    writer = build_writer(config.lease, os.environ)
    permit = writer.refusal if writer else always

    def connector(venue: VenueConfig) -> ExecutionConnector:
        made = connectors(
            venue,
            config.state_dir,
            stores.get(venue.name),
            source=source,
            clock=time.time,
            permit=permit,
        )
        return Fenced(made, permit)

    venues = {venue.name: connector(venue) for venue in config.venues}
    metrics = RunnerMetrics(
        venues,
        version=release.version,
        revision=release.revision,
        config_hash=config_hash(config),
    )
    return LiveExecutionLoop(
        venues,
        RiskManager(RiskLimits.from_config(config.risk), clock=time.time),
        config=LiveLoopConfig.of(config),
        metrics=metrics,
        strategy=build_strategy(config.strategy, source=source),
        credentials=stores,
        writer=writer,
    )


def config_hash(config: RunnerConfig) -> str:
    """The configuration hash that the operator set: ``TRADEPULSE_CONFIG_HASH``, else the file's."""
    return os.environ.get("TRADEPULSE_CONFIG_HASH") or config.config_hash


async def run(
    config: RunnerConfig, path: Path, *, connectors: BuildConnector = build_connector
) -> None:
    """Run until SIGTERM or SIGINT, then stop cleanly. Raises the error that ended the loop."""
    release = load_release()
    loop = build(config, release, source=str(path), connectors=connectors)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    services = start_services(config, loop)
    server = Server(
        loop,
        release,
        config_hash(config),
        parts={name: service.status for name, service in services.items()},
    )
    admin = _admin(config, loop, server)
    ports = await server.start(config.http, config.metrics)
    log.info("runner.listening", extra={"http": ports[0], "metrics": ports[1]})
    try:
        if admin is not None:
            log.info("admin.listening", extra={"port": await admin.start()})
        await _until_stopped(_live(loop, config.cold_start), stop)
    finally:
        await loop.shutdown()
        for service in services.values():
            await service.stop()
        if admin is not None:
            await admin.stop()
        await server.stop()


def _admin(config: RunnerConfig, loop: LiveExecutionLoop, server: Server) -> Admin | None:
    if config.admin is None:
        return None
    # Imported on demand: FastAPI is needed only where the admin API is configured.
    from tradepulse_runner.admin.start import Admin  # noqa: PLC0415

    admin = Admin(config.admin, loop, server.status, os.environ)
    if admin.siem is not None:
        server.parts["siem"] = admin.siem.status
    return admin


async def _live(loop: LiveExecutionLoop, cold_start: bool) -> None:
    await loop.start(cold_start)  # may wait for the writer lease
    await loop.wait()


async def _until_stopped(life: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    ended = asyncio.create_task(life)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if ended.done():
        ended.result()
    else:
        ended.cancel()
        await asyncio.wait({ended})
