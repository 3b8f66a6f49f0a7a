"""How long a breach takes to be decided while 1, 100 or 500 cutovers are guarded at once.

The engine is the operator's own: queue, observer, guard, loop; and so is the way to a real
Prometheus, which scrapes a target per runner. API server and runners are faked here, in memory: 500
pods don't fit this machine. So what is measured is what the guard adds; what a cutover's steps take
on a cluster is measured by ``make bench``.

All releases turn bad at the same instant, which is the worst that can be asked.

    python -m tests.bench.verdict [--cutovers 1 --cutovers 100 --cutovers 500]
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import click
from aiohttp import web

from tests.support.fakes.kube import FakeKube
from tests.support.operator import engine_world as world
from tests.support.services.prometheus import Prometheus as Server
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.clients.clock import SystemClock
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.discovery import DiscoveryCache
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.clients.runner_status import Process
from tradepulse_operator.common.names import LABEL_RELEASE, LABEL_RUNNER
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.manager.apply import Applier
from tradepulse_operator.manager.collect_incident import Reporter
from tradepulse_operator.manager.events import Emitter
from tradepulse_operator.manager.key import Key
from tradepulse_operator.manager.loop import Loop
from tradepulse_operator.manager.metrics import Metrics
from tradepulse_operator.manager.observe import Observer
from tradepulse_operator.manager.options import Options
from tradepulse_operator.manager.reconcilers import needs_recording, reconcilers
from tradepulse_operator.manager.workqueue import WorkQueue
from tradepulse_runner.guard.slo import LATENCY_BUCKETS

NAMESPACE, RELEASE = "live", world.TARGET["id"]
#: Orders a second of each runner, and the share that fails once it is bad.
RATE, FAILS = 8.0, 0.25
SCRAPE = 5
POLICY = {
    "interval": "5s",
    "window": "30s",
    "metricGap": "15s",
    "consecutive": 2,
    "minRequests": 10,
}
#: Rounds are repeated until there are as many.
DECISIONS = 5
#: Seconds of good samples before, and that all verdicts may take after.
BEFORE, PATIENCE = 20.0, 180.0


@dataclass
class Venue:
    """What every runner's metrics say, as a function of time."""

    began: float = field(default_factory=time.time)
    bad_since: float | None = None

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text="\n".join(self._lines()) + "\n")

    def _lines(self) -> Iterator[str]:
        now = time.time()
        sent = int(RATE * (now - self.began))
        bad = RATE * FAILS * (now - self.bad_since) if self.bad_since else 0.0
        release = f'tradepulse_io_release="{RELEASE}"'
        yield f"live_loop_heartbeat{{{release}}} {now}"
        for outcome, count in (("ok", sent - int(bad)), ("error", int(bad))):
            name = "tradepulse_order_outcomes_total"
            yield f'{name}{{{release},venue="paper",outcome="{outcome}"}} {count}'
        for bound in (*map(str, LATENCY_BUCKETS), "+Inf"):
            name = "tradepulse_order_latency_seconds_bucket"
            yield f'{name}{{{release},venue="paper",le="{bound}"}} {sent}'


class Cluster(FakeKube):
    """Cutovers that bake; remembers when each was decided. ``decided``: seconds of the clock."""

    def __init__(self, count: int, prometheus: str) -> None:
        super().__init__()
        self.decided: dict[str, float] = {}
        self.reasons: set[str] = set()
        for number in range(count):
            for item in _baking(f"r{number}", prometheus):
                self.put(item)

    async def replace_status(self, ref: Any, version: str, status: Manifest) -> None:
        await super().replace_status(ref, version, status)
        if status["phase"] != CutoverPhase.BAKING and ref.name not in self.decided:
            self.decided[ref.name] = time.time()
            self.reasons.add(f"{status['phase']}: {status['rollback']['reason']}")


def _baking(name: str, prometheus: str) -> Iterator[Manifest]:
    """A runner, its pod, and its cutover in Baking since now."""
    where = {"namespace": NAMESPACE}
    runner = world.runner(monitoring={"scrapeInterval": f"{SCRAPE}s"})
    yield {**runner, "metadata": {"name": name, **where}, "status": {"cutover": name}}
    labels = {LABEL_RUNNER: name, LABEL_RELEASE: RELEASE}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    pod = world.pod()
    yield {
        **pod,
        "metadata": {"name": f"{name}-0", "labels": labels, **where},
        "status": {**pod["status"], **ready},
    }
    now = timestamp(time.time())
    cutover = world.cutover(phases=[{"phase": "Baking", "at": now}])
    spec = {"runner": name, "bake": "1h", "guardrails": {"prometheus": prometheus, **POLICY}}
    yield {**cutover, "metadata": {"name": name, **where}, "spec": spec}


@dataclass(frozen=True)
class Round:
    """One number of cutovers. Seconds from the first bad scrape of each to its decision."""

    latencies: list[float]
    reasons: set[str]
    busy: float

    @classmethod
    def of(cls, rounds: list[Round]) -> Round:
        """Several rounds as one; ``busy`` is their mean."""
        return cls(
            [late for each in rounds for late in each.latencies],
            {reason for each in rounds for reason in each.reasons},
            statistics.fmean(each.busy for each in rounds),
        )


async def measure(count: int, server: Server, venue: Venue, where: str) -> Round:
    """Guard ``count`` cutovers; then all turn bad."""
    server.scrape({f"r{number}": f"{where}/r{number}" for number in range(count)})
    venue.bad_since, kube = None, Cluster(count, server.url)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:
        queue = _engine(kube, session)
        await _until(lambda: len(server.query("up == 1")) == count, "every target to be scraped")
        runs = asyncio.create_task(queue.run())
        for number in range(count):
            queue.add(Key(ReleaseCutover.KIND, NAMESPACE, f"r{number}"))
        await asyncio.sleep(BEFORE)
        venue.bad_since, worked = time.time(), time.process_time()
        await _until(lambda: len(kube.decided) == count, "every cutover to be decided")
        busy = (time.process_time() - worked) / (time.time() - venue.bad_since)
        runs.cancel()
        await asyncio.wait({runs})
    seen = _first_bad(server, venue.bad_since)
    late = [at - seen[name] for name, at in kube.decided.items()]
    return Round(late, kube.reasons, busy)


def _engine(kube: Cluster, session: aiohttp.ClientSession) -> WorkQueue[Key]:
    """The operator's, as ``engine.app`` puts it together."""
    clock, api = SystemClock(), cast(Kube, kube)
    metrics, served = Metrics(), DiscoveryCache(api, clock)
    observer = Observer(
        api,
        cast(Process, world.FakeProcess()),
        Prometheus(session),
        clock,
        alertmanager=Alertmanager(session),
        served=served,
        needs_recording=needs_recording,
    )
    loop = Loop(
        observer,
        Applier(api, Reporter(api, observer, clock), served),
        Emitter(api, clock, "bench"),
        reconcilers=reconcilers(),
        metrics=metrics,
        may_act=lambda: True,
    )

    async def work(key: Key) -> float | None:
        return None if key.name in kube.decided else await loop.reconcile(key)

    return WorkQueue(work, clock, workers=Options().workers, meter=metrics)


def _first_bad(server: Server, since: float) -> dict[str, float]:
    """When each runner was first scraped with failures of ``since`` or later, unix seconds."""
    query = 'tradepulse_order_outcomes_total{outcome="error"}[10m]'
    found: dict[str, float] = {}
    for series in server.query(query):
        bad = (t for t, v in series["values"] if t >= since and float(v) > 0)
        found[series["metric"]["tradepulse_io_runner"]] = min(bad)
    return found


async def _until(holds: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(holds):
        if time.monotonic() > end:
            raise click.ClickException(f"waited {PATIENCE:g} s for {what}")
        await asyncio.sleep(0.2)


async def _rounds(counts: tuple[int, ...]) -> dict[int, Round]:
    venue = Venue()
    app = web.Application()
    app.router.add_get("/{runner}", venue.metrics)
    site_of = web.AppRunner(app, access_log=None)
    await site_of.setup()
    site = web.TCPSite(site_of, "127.0.0.1", 0)
    await site.start()
    where = f"127.0.0.1:{site_of.addresses[0][1]}"
    found: dict[int, Round] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            click.echo(f"{count} guarded cutovers")
            server = Server(pace=f"{SCRAPE}s")
            try:
                await asyncio.to_thread(server.start, Path(folder) / str(count))
                again = -(-DECISIONS // count)
                rounds = [await measure(count, server, venue, where) for _ in range(again)]
                found[count] = Round.of(rounds)
            finally:
                server.stop()
    await site_of.cleanup()
    return found


@click.command()
@click.option("--cutovers", multiple=True, type=int, default=(1, 100, 500), show_default=True)
def main(cutovers: tuple[int, ...]) -> None:
    """Measure how long a verdict takes while many cutovers are guarded."""
    found = asyncio.run(_rounds(cutovers))
    first = statistics.median(next(iter(found.values())).latencies)
    click.echo(f"\n  first bad scrape → decision written, judged every {POLICY['interval']}")
    click.echo(f"  {'cutovers':>8} {'p50':>7} {'p99':>7} {'max':>7} {'ratio':>6} {'CPU':>5}")
    for count, each in found.items():
        late = sorted(each.latencies)
        mid, high = statistics.median(late), late[int(0.99 * (len(late) - 1))]
        click.echo(
            f"  {count:>8} {mid:6.2f}s {high:6.2f}s {late[-1]:6.2f}s {mid / first:5.1f}x"
            f" {each.busy:5.0%}  {', '.join(sorted(each.reasons))}"
        )


if __name__ == "__main__":
    main()
