"""A recording, sorted by what its series mean. Prepared once, then judged at many instants."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from .limits import Limits
from .samples import Recording, Series
from .series import Increases, Track, increases, merge

HEARTBEAT = "live_loop_heartbeat"
OUTCOMES = "tradepulse_order_outcomes_total"
LATENCY = "tradepulse_order_latency_seconds_bucket"
#: Metrics without which nothing can be said of a runner.
REQUIRED = (HEARTBEAT, OUTCOMES, LATENCY)

#: Labels that say what a series counts; all others say where it was scraped.
_MEANING = {OUTCOMES: ("venue", "outcome"), LATENCY: ("venue", "le"), HEARTBEAT: ()}

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Counter:
    """One counter metric: a track and its increases for each combination of labels."""

    metric: str
    tracks: Mapping[Labels, Track]
    increases: Mapping[Labels, Increases]

    def last(self, until: float) -> float | None:
        """Time of the newest sample of any of its series at or before `until`."""
        return max(
            (t for track in self.tracks.values() if (t := track.last(until)) is not None),
            default=None,
        )


@dataclass(frozen=True)
class Evidence:
    """A recording that is ready to be judged; `start`: when watching began, unix seconds."""

    start: float
    heartbeat: Track
    #: Times at which a scrape showed progress of the loop.
    life: tuple[float, ...]
    #: Times of successful scrapes of anything.
    control: tuple[float, ...]
    outcomes: Counter
    latency: Counter
    custom: Mapping[str, tuple[Track, ...]]
    outage: str | None


def evidence(recording: Recording, limits: Limits, start: float | None = None) -> Evidence:
    """`recording` prepared for judgements of a release watched since `start`."""
    by_meaning = _by_meaning(recording)
    heartbeat = merge(by_meaning[HEARTBEAT].get((), []), counter=False)
    seen = heartbeat.times
    control = {t for series in recording.control for t, _ in series.points if math.isfinite(t)}
    return Evidence(
        start=recording.since if start is None else start,
        heartbeat=heartbeat,
        life=_life(heartbeat),
        control=tuple(sorted(control)),
        outcomes=_counter(OUTCOMES, by_meaning, seen, limits.window),
        latency=_counter(LATENCY, by_meaning, seen, limits.window),
        custom={
            name: tuple(merge([one], counter=False) for one in series)
            for name, series in recording.custom.items()
        },
        outage=recording.outage,
    )


def _by_meaning(recording: Recording) -> Mapping[str, Mapping[Labels, list[Series]]]:
    series_of: dict[str, defaultdict[Labels, list[Series]]] = {
        name: defaultdict(list) for name in REQUIRED
    }
    for series in recording.runner:
        name = series.labels.get("__name__", "")
        if name in series_of:
            key = tuple(series.labels.get(label, "") for label in _MEANING[name])
            series_of[name][key].append(series)
    return series_of


def _counter(
    metric: str,
    by_meaning: Mapping[str, Mapping[Labels, list[Series]]],
    seen: tuple[float, ...],
    reach: float,
) -> Counter:
    tracks = {key: merge(series) for key, series in by_meaning[metric].items()}
    rises = {key: increases(track, seen, reach) for key, track in tracks.items()}
    return Counter(metric, tracks, rises)


def _life(heartbeat: Track) -> tuple[float, ...]:
    """A scrape that shows the beat of the scrape before it proves a web server, not a loop."""
    times: list[float] = []
    previous: float | None = None
    for at, value in heartbeat.points:
        if value != previous:
            times.append(at)
        previous = value
    return tuple(times)
