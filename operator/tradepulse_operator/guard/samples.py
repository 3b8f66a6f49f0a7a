"""What the guard sees: raw samples with the timestamps of their scrapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Series:
    """One time series: labels (with `__name__`) and (unix seconds, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Recording:
    """Everything one judgement rests on.

    `runner`: raw series of the runner's release. `control`: raw `up` series of anything that this
    Prometheus scrapes, which proves that it scrapes at all. `custom`: guardrail → series of its
    query, evaluated at steps. `outage`: why Prometheus could not answer; then the rest is empty.
    """

    since: float
    until: float
    runner: tuple[Series, ...] = ()
    control: tuple[Series, ...] = ()
    custom: Mapping[str, tuple[Series, ...]] = field(default_factory=dict)
    outage: str | None = None
