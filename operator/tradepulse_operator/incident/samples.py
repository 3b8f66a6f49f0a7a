"""A recording as JSON, and back: the verdict can be derived again from a report, offline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tradepulse_operator.guard.samples import Recording, Series


def dump(recording: Recording, since: float | None = None) -> str:
    """JSON of the recording; samples before `since` are left out when it is given.

    Values are strings as Prometheus writes them: JSON has no NaN and no infinity.
    """
    start = recording.since if since is None else max(since, recording.since)
    return json.dumps(
        {
            "since": start,
            "until": recording.until,
            "outage": recording.outage,
            "runner": _series(recording.runner, start),
            "control": _series(recording.control, start),
            "custom": {name: _series(series, start) for name, series in recording.custom.items()},
        },
        separators=(",", ":"),
    )


def load(text: str) -> Recording:
    """The recording of `dump`. Raises ValueError or KeyError for anything else."""
    parsed = json.loads(text)
    return Recording(
        since=parsed["since"],
        until=parsed["until"],
        outage=parsed["outage"],
        runner=_parsed(parsed["runner"]),
        control=_parsed(parsed["control"]),
        custom={name: _parsed(series) for name, series in parsed["custom"].items()},
    )


def fit(recording: Recording, limit: int) -> tuple[str, str]:
    """(JSON of at most `limit` bytes, what was left out for it): the newest samples stay."""
    text = dump(recording)
    since = recording.since
    while len(text.encode()) > limit and recording.until - since > 1:
        since += (recording.until - since) / 4
        text = dump(recording, since)
    if len(text.encode()) > limit:
        outage = recording.outage or "the samples of one second were too large for the report"
        empty = Recording(recording.since, recording.until, outage=outage[:1000])
        return dump(empty), "all samples: too large"
    left = f"samples before {since:.0f} (unix seconds)" if since > recording.since else ""
    return text, left


def _series(series: Iterable[Series], since: float) -> list[Mapping[str, Any]]:
    return [
        {
            "labels": dict(one.labels),
            "points": [[at, repr(value)] for at, value in one.points if at >= since],
        }
        for one in series
    ]


def _parsed(series: Iterable[Mapping[str, Any]]) -> tuple[Series, ...]:
    return tuple(
        Series(one["labels"], tuple((float(at), float(value)) for at, value in one["points"]))
        for one in series
    )
