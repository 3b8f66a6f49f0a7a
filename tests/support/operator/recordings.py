"""Recordings of simulated runners: what Prometheus would hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.samples import Recording, Series

Span = tuple[float, float]
BOUNDS = (0.05, 0.25, 0.5, 1.0, 5.0)

LIMITS = Limits(
    interval=15,
    window=60,
    scrape=15,
    metric_gap=31,
    error_rate=0.02,
    p95=0.5,
    consecutive=2,
    min_requests=20,
    required=120,
)


def within(at: float, spans: Iterable[Span]) -> bool:
    return any(since <= at < until for since, until in spans)


@dataclass(frozen=True)
class Runner:
    """A runner that sends `rate` requests a second from `born` on.

    `errors`, `slow`: share of requests that fail, or take longer than 0.5 s, at an instant.
    """

    born: float = 0.0
    rate: float = 2.0
    errors: Callable[[float], float] = lambda _: 0.0
    slow: Callable[[float], float] = lambda _: 0.0
    silent: tuple[Span, ...] = ()
    frozen: tuple[Span, ...] = ()
    restarts: tuple[float, ...] = ()

    def counts(self, at: float) -> tuple[float, float, float]:
        """(requests, failed, slow) since the process began."""
        begun = max([t for t in self.restarts if t <= at], default=self.born)
        rows, last = _rows(self, int(begun)), int(at) - int(begun)
        while len(rows) <= last:
            total, failed, slow = rows[-1]
            second = int(begun) + len(rows) - 1
            failed += self.rate * self.errors(second)
            rows.append((total + self.rate, failed, slow + self.rate * self.slow(second)))
        return rows[max(0, last)]

    def beat(self, at: float) -> float:
        stops = [since for since, until in self.frozen if since <= at < until]
        return min(stops, default=at)

    def instance(self, at: float) -> str:
        return f"10.0.0.{sum(1 for t in self.restarts if t <= at)}:9000"


@lru_cache(maxsize=64)
def _rows(runner: Runner, begun: int) -> list[tuple[float, float, float]]:
    """Counts at each second since `begun`, as far as they were asked for."""
    return [(0.0, 0.0, 0.0)]


@dataclass(frozen=True)
class RecordedWorld:
    """A Prometheus that scrapes a runner every 15 s and another target every 5 s."""

    runner: Runner = field(default_factory=Runner)
    down: tuple[Span, ...] = ()
    offset: float = 7.0
    scrape: float = 15.0

    def recording(self, since: float, until: float) -> Recording:
        return Recording(
            since=since,
            until=until,
            runner=tuple(self._runner(since, until)),
            control=(
                Series(
                    {"__name__": "up"},
                    tuple((t, 1.0) for t in self._times(5.0, 1.0, since, until)),
                ),
            ),
        )

    def _times(self, every: float, offset: float, since: float, until: float) -> list[float]:
        first = int((since - offset) // every)
        times = [offset + n * every for n in range(first, int((until - offset) // every) + 1)]
        return [t for t in times if since <= t <= until and not within(t, self.down)]

    def _runner(self, since: float, until: float) -> list[Series]:
        found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for at in self._times(self.scrape, self.offset, since, until):
            if at < self.runner.born or within(at, self.runner.silent):
                continue
            where = {"instance": self.runner.instance(at), "pod": "demo-0"}
            for labels, value in self._scrape(at):
                key = tuple(sorted({**labels, **where}.items()))
                found.setdefault(key, []).append((at, value))
        return [Series(dict(key), tuple(points)) for key, points in found.items()]

    def _scrape(self, at: float) -> list[tuple[dict[str, str], float]]:
        total, failed, slow = self.runner.counts(at)
        fast = total - slow
        name = "tradepulse_order_outcomes_total"
        bucket = "tradepulse_order_latency_seconds_bucket"
        samples = [
            ({"__name__": "live_loop_heartbeat"}, self.runner.beat(at)),
            ({"__name__": name, "venue": "paper", "outcome": "ok"}, total - failed),
            ({"__name__": name, "venue": "paper", "outcome": "error"}, failed),
        ]
        for bound in (*BOUNDS, float("inf")):
            le = "+Inf" if bound == float("inf") else str(bound)
            count = fast if bound < 1.0 else total
            samples.append(({"__name__": bucket, "venue": "paper", "le": le}, count))
        return samples


def changed(
    recording: Recording, metric: str, change: Callable[[Series], Iterable[Series]]
) -> Recording:
    """`recording` with each series of `metric` replaced by what `change` makes of it."""
    runner = [
        new
        for series in recording.runner
        for new in (change(series) if series.labels["__name__"] == metric else [series])
    ]
    return Recording(
        recording.since,
        recording.until,
        tuple(runner),
        recording.control,
        recording.custom,
        recording.outage,
    )


def with_value(series: Series, at_least: float, value: float) -> Series:
    """`series` with `value` from the time `at_least` on."""
    return Series(
        series.labels, tuple((t, value if t >= at_least else v) for t, v in series.points)
    )
