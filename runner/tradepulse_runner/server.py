"""Probes, status and metrics over HTTP. Read-only: commands reach the process through files.

``/startupz``: the state is loaded. ``/healthz``: the loop turns. ``/readyz``: it trades; halted or
reconciling is alive but not ready. ``/status``: the process's own report, JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tradepulse_runner.config.runner import HttpConfig, MetricsConfig
from tradepulse_runner.live.killreport import SHOWN
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.release import Release
from tradepulse_runner.state.storage import storage

#: Heartbeats that may be missed before the loop counts as stuck.
MISSED = 5


class Server:
    """Two listeners: ``http.port`` for probes and status, ``metrics.port`` for Prometheus."""

    def __init__(
        self,
        loop: LiveExecutionLoop,
        release: Release,
        config_hash: str,
        *,
        parts: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        #: Additional parts of ``/status``, by key.
        self.parts = dict(parts or {})
        self._loop, self._release, self._hash = loop, release, config_hash
        self._clock = clock
        self._runners: list[web.AppRunner] = []

    async def start(self, http: HttpConfig, metrics: MetricsConfig) -> tuple[int, int]:
        """Listen; returns the two ports. Raises OSError for a port that is taken."""
        pages = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/startupz": self._startupz,
            "/status": self._status,
        }
        first = await self._listen(pages, http.host, http.port)
        return first, await self._listen({"/metrics": self._metrics}, http.host, metrics.port)

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, pages: dict[str, Any], host: str, port: int) -> int:
        app = web.Application()
        for path, handler in pages.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port).start()
        return int(runner.addresses[0][1])

    async def _healthz(self, _: web.Request) -> web.Response:
        limit = max(5.0, MISSED * self._loop.config.heartbeat_interval)
        age = self._clock() - self._loop.heartbeat
        return _probe(self._loop.started and age <= limit, f"heartbeat {age:.1f} s ago")

    async def _startupz(self, _: web.Request) -> web.Response:
        return _probe(self._loop.started, self._loop.state.refusal or "")

    async def _readyz(self, _: web.Request) -> web.Response:
        phase, why = self._loop.phase()
        return _probe(phase is Phase.TRADING, why)

    async def _metrics(self, _: web.Request) -> web.Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=self._loop.metrics.render(), headers={"Content-Type": kind})

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(self.status())

    def status(self) -> dict[str, Any]:
        """The body of ``/status``; money as decimal strings, times as unix seconds."""
        loop = self._loop
        engaged, reason = loop.kill_switch
        phase, why = loop.phase()
        states = {name: session.oms.state for name, session in loop.sessions.items()}
        snapshots = {name: session.oms.snapshot for name, session in loop.sessions.items()}
        newest = max((s for s in snapshots.values() if s), key=_generation, default=None)
        return {
            "release": {"version": self._release.version, "revision": self._release.revision},
            "config_hash": self._hash,
            "state": str(phase),
            "halt": {
                "token": loop.directive.token if loop.directive.halt else "",
                "complete": loop.halt_complete,
                "reason": loop.directive.reason if loop.directive.halt else "",
            },
            "trading_state": str(phase.mode),
            "why": why,
            "reduce": {
                "token": loop.directive.token if loop.directive.reduce else "",
                "reason": loop.directive.reason if loop.directive.reduce else "",
            },
            "kill_switch": {
                "engaged": engaged,
                "reason": reason,
                "complete": loop.all_cancelled,
                "uncancelled": loop.uncancelled[:SHOWN],
                "uncancelled_orders": len(loop.uncancelled),
            },
            "open_orders": sum(len(state.working()) for state in states.values()),
            "unknown_orders": sum(len(state.unresolved()) for state in states.values()),
            "venues": {
                name: {
                    "reconciled": session.reconciled,
                    "takes_orders": session.reconciled and loop.state.refusal is None,
                    "open_orders": len(states[name].working()),
                }
                for name, session in loop.sessions.items()
            },
            "positions": {
                name: {symbol: str(quantity) for symbol, quantity in state.positions.items()}
                for name, state in states.items()
            },
            "writer_epoch": loop.epoch,
            "heartbeat": loop.heartbeat,
            "orders": loop.counts,
            "guard": loop.guard.status(),
            "storage": storage(loop.config.state_dir),
            "snapshot": {
                "generation": newest.generation if newest else 0,
                "sha256": newest.sha256 if newest else "",
            },
            **{name: status() for name, status in self.parts.items()},
        }


def _generation(snapshot: Any) -> int:
    return int(snapshot.generation)


def _probe(good: bool, why: str) -> web.Response:
    return web.json_response({"ok": good, "reason": why}, status=200 if good else 503)
