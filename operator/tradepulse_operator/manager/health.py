"""Probes and metrics over HTTP.

Alive means that a restart would not help. So what counts is what hangs inside this process: the
event loop, the queue, the watch. An API server that is down is none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from tradepulse_operator.clients.clock import Clock

from .metrics import Metrics

#: Seconds. A reconciliation has a deadline of 120 s: a queue that doesn't move for longer is stuck.
LAG_LIMIT = 5.0
AGE_LIMIT = 180.0
#: With a resync every 30 s, a hanging watch is found within 90 s of the event it missed.
WATCH_LIMIT = 60.0
_TICK = 0.5


class Health:
    """Collects what is wrong. Each reading is a function that gives seconds."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        *,
        age: Callable[[], float],
        depth: Callable[[], int],
        watch: Callable[[], float],
        ready: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._age = age
        self._depth = depth
        self._watch = watch
        self._ready = ready
        self._lag = 0.0

    async def run(self) -> None:
        """Measure the lateness of the event loop, for ever."""
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(_TICK)
            late = max(0.0, self._clock.monotonic() - before - _TICK)
            # Falls slowly, so that a probe between two stalls sees them.
            self._lag = max(late, self._lag * 0.9)

    def wrong(self) -> str:
        """Why this process should be restarted; "" when it shouldn't."""
        readings = (
            ("event loop is late", self._lag, LAG_LIMIT),
            ("queue doesn't move", self._age(), AGE_LIMIT),
            ("watch missed an event", self._watch(), WATCH_LIMIT),
        )
        problems = [f"{what}: {value:.1f} s" for what, value, limit in readings if value > limit]
        return "; ".join(problems)

    def app(self) -> web.Application:
        """/healthz, /readyz and /metrics."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_text)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        wrong = self.wrong()
        return web.Response(status=503 if wrong else 200, text=wrong or "ok")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return web.Response(status=200 if ready else 503, text="ok" if ready else "starting")

    async def _metrics_text(self, _: web.Request) -> web.Response:
        self._metrics.queue_depth.set(self._depth())
        self._metrics.queue_age.set(self._age())
        self._metrics.watch_lag.set(self._watch())
        self._metrics.loop_lag.set(self._lag)
        return web.Response(
            body=self._metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
