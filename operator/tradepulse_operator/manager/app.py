"""Everything wired together, started, and ended in the right order.

lease → queue, resync, watch … until a signal → queue drained → watch ended → lease released
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import kopf
from aiohttp import web

from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.clients.clock import SystemClock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.config import Connection, connect
from tradepulse_operator.clients.kubernetes.discovery import DiscoveryCache
from tradepulse_operator.clients.kubernetes.errors import KubeError
from tradepulse_operator.clients.kubernetes.http import Transport
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.clients.runner_status import Process

from . import handlers
from .apply import Applier
from .collect_incident import Reporter
from .events import Emitter
from .health import Health
from .key import Key
from .leader import Lease, LeaseLost
from .loop import Loop
from .metrics import Metrics
from .observe import Observer
from .options import Options
from .reconcilers import needs_recording, reconcilers
from .resync import Resync
from .watch_tracker import WatchTracker
from .workqueue import WorkQueue

_log = logging.getLogger(__name__)


class App:
    """The operator. `run` returns when it was asked to stop, and raises when it can't go on."""

    def __init__(
        self,
        options: Options,
        connection: Connection,
        leases: Connection,
        session: aiohttp.ClientSession,
        metrics: Metrics,
    ) -> None:
        self._options = options
        self._connection = connection
        kube = Kube(Transport(connection, meter=metrics.requested))
        self._kube = kube
        clock = SystemClock()
        self._metrics = metrics
        self._tracker = WatchTracker()
        self._lease = Lease(
            Kube(Transport(leases, meter=metrics.requested)),
            clock,
            options.namespace,
            options.identity,
        )
        served = DiscoveryCache(kube, clock)
        observer = Observer(
            kube,
            Process(session),
            Prometheus(session),
            clock,
            alertmanager=Alertmanager(session),
            served=served,
            default_prometheus=options.default_prometheus,
            needs_recording=needs_recording,
        )
        reporter = Reporter(kube, observer, clock, default_prometheus=options.default_prometheus)
        self._loop = Loop(
            observer,
            Applier(kube, reporter, served),
            Emitter(kube, clock, options.identity),
            reconcilers=reconcilers(),
            metrics=self._metrics,
            may_act=lambda: self._lease.leading,
        )
        self._queue: WorkQueue[Key] = WorkQueue(
            self._loop.reconcile, clock, workers=options.workers, meter=self._metrics
        )
        self._resync = Resync(
            kube,
            clock,
            self._tracker,
            self._queue.add,
            self._queue.later,
            namespaces=options.scopes,
            resync=options.resync,
        )
        self.health = Health(
            clock,
            self._metrics,
            age=lambda: self._queue.age,
            depth=lambda: self._queue.depth,
            watch=lambda: self._tracker.lag(clock.monotonic()),
            ready=lambda: self._standby or self._resync.done,
        )
        self._standby = False
        self._stop = asyncio.Event()
        self._kopf_stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop`. Raises LeaseLost, or whatever ended a part that must not end."""
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        health = asyncio.create_task(self.health.run(), name="health")
        try:
            if await self._acquired(stop):
                await self._lead(stop, health)
        finally:
            for task in (stop, health):
                task.cancel()

    async def _acquired(self, stop: asyncio.Task[Any]) -> bool:
        """Wait for the lease; False when it was asked to stop first."""
        acquire = asyncio.create_task(self._stand_by(), name="acquire lease")
        await asyncio.wait({acquire, stop}, return_when=asyncio.FIRST_COMPLETED)
        self._standby = False
        if not acquire.done():
            await _cancelled(acquire)
            return False
        acquire.result()
        return True

    async def _stand_by(self) -> None:
        await self._installed()
        self._standby = True
        await self._lease.acquire()

    async def _installed(self) -> None:
        """Wait for the definitions of the custom resources."""
        while True:
            try:
                if await self._kube.serves(kinds.RUNNER) and await self._kube.serves(kinds.CUTOVER):
                    return
                _log.warning("the custom resources aren't installed: kubectl apply -k crds")
            except KubeError as error:
                _log.warning("the API server doesn't answer: %s", error)
            await asyncio.sleep(5)

    async def _lead(self, stop: asyncio.Task[Any], health: asyncio.Task[Any]) -> None:
        self._metrics.leader.set(1)
        queue = asyncio.create_task(self._queue.run(), name="queue")
        audit = asyncio.create_task(self._resync.run(), name="audit")
        lease = asyncio.create_task(self._lease.keep(), name="lease")
        watch = asyncio.create_task(self._watch(), name="watch")
        try:
            done, _ = await asyncio.wait(
                {stop, health, queue, audit, lease, watch}, return_when=asyncio.FIRST_COMPLETED
            )
            if lease in done:
                lease.result()
            for task in done - {stop}:
                task.result()
                raise RuntimeError(f"{task.get_name()} ended by itself")
        except LeaseLost:
            # Another process may act in a few seconds: nothing here may be finished in peace.
            raise
        except BaseException:
            await self._wind_down(queue, audit, watch, lease)
            raise
        await self._wind_down(queue, audit, watch, lease)

    async def _wind_down(
        self,
        queue: asyncio.Task[Any],
        audit: asyncio.Task[Any],
        watch: asyncio.Task[Any],
        lease: asyncio.Task[Any],
    ) -> None:
        """The lease is kept until nothing acts any more, then given to whoever waits."""
        await _cancelled(audit)
        await _cancelled(queue)
        await _cancelled(lease)
        await self._lease.release()
        self._metrics.leader.set(0)
        self._kopf_stop.set()
        await asyncio.wait({watch}, timeout=5)

    async def _watch(self) -> None:
        edge = handlers.EventRouter(self._queue.add, self._tracker)
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(edge, handlers.Login(self._connection)),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not self._options.namespaces,
            namespaces=self._options.namespaces,
            stop_flag=self._kopf_stop,
        )
        # kopf has just taken the signals, and would end before the queue does.
        self._signals()
        await kopf.run_tasks(tasks, ignored=ours)

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)

    async def serve(self, stack: AsyncExitStack) -> None:
        """Serve probes and metrics until `stack` unwinds."""
        self._signals()
        runner = web.AppRunner(self.health.app(), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, port=self._options.port).start()


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        metrics = Metrics()
        connection = await _connected()
        stack.push_async_callback(connection.close)
        # A slow API server must not let reconciliations take the connection that renews the lease.
        leases = connection.another()
        stack.push_async_callback(leases.close)
        app = App(options, connection, leases, session, metrics)
        await app.serve(stack)
        try:
            await app.run()
        except LeaseLost as error:
            _log.critical("%s: exiting at once", error)
            logging.shutdown()
            # No clean-up: whatever is still under way must not outlive the lease.
            os._exit(1)


async def _connected() -> Connection:
    try:
        return await connect()
    except KubeError as error:
        _log.critical("no credentials for the API server: %s", error)
        sys.exit(1)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel and wait; how it ended is of no interest any more."""
    task.cancel()
    await asyncio.wait({task})
