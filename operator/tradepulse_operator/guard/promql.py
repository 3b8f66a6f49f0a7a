"""The questions put to Prometheus, as text; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tradepulse_operator.common.names import SERIES_RELEASE, SERIES_RUNNER

#: Series of a runner that a judgement rests on.
METRICS = (
    "live_loop_heartbeat",
    "tradepulse_order_latency_seconds_bucket",
    "tradepulse_order_outcomes_total",
)
#: When anything at all was last scraped with success. Aggregated, so that the answer is one series
#: however many targets there are. `timestamp` yields the true time of a scrape only of a plain
#: selector; of an expression such as `up == 1` it would yield the time of the query.
CONTROL = "max(timestamp(up) and (up == 1))"
#: Evaluations at most: the API refuses more than 11,000, and the control query evaluates every
#: target each time. A scrape between two evaluations may go unseen, so they are a second apart for
#: as long as this allows.
_STEPS = 2_000


@dataclass(frozen=True)
class Endpoint:
    """A Prometheus, and as whom it is asked: together they decide what an answer shows.

    `headers`: sent with each query, such as a tenant's (`X-Scope-OrgID`) or credentials.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SampleQuery:
    """What one judgement wants to know. `since`, `until`: unix seconds; `step`: seconds."""

    endpoint: Endpoint
    namespace: str
    runner: str
    release: str
    since: float
    until: float
    step: float = 15.0
    custom: Mapping[str, str] = field(default_factory=dict)


def quoted(value: str) -> str:
    """`value` as a PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def raw(question: SampleQuery) -> str:
    """Range selector of the runner's raw samples, up to the time of the query."""
    names = "|".join(METRICS)
    labels = ",".join(
        (
            f"__name__=~{quoted(names)}",
            f"namespace={quoted(question.namespace)}",
            f"{SERIES_RUNNER}={quoted(question.runner)}",
            f"{SERIES_RELEASE}={quoted(question.release)}",
        )
    )
    return f"{{{labels}}}[{max(1, math.ceil(question.until - question.since))}s]"


def kill_switch(namespace: str, runner: str) -> str:
    """Range selector of the kill switch's metric, as long as a scrape may be missed."""
    labels = f"namespace={quoted(namespace)},{SERIES_RUNNER}={quoted(runner)}"
    return f"tradepulse_kill_switch_engaged{{{labels}}}[5m]"


def custom(question: SampleQuery, query: str) -> str:
    """A user's query with `$runner`, `$namespace` and `$release` replaced.

    The values are names of Kubernetes objects and a hash; they are escaped all the same, as what
    stands inside the quotes of a PromQL string.
    """
    values = {
        "runner": question.runner,
        "namespace": question.namespace,
        "release": question.release,
    }
    return re.sub(
        r"\$(runner|namespace|release)\b", lambda match: quoted(values[match[1]])[1:-1], query
    )


def steps(question: SampleQuery, step: float) -> tuple[float, float]:
    """(start, step) of a range query that ends at `until`. The step grows with a long span."""
    span = max(1.0, question.until - question.since)
    wide = max(1.0, step, span / _STEPS)
    return question.until - math.floor(span / wide) * wide, wide


def queries(question: SampleQuery) -> dict[str, str]:
    """Every query of `question` by what it is for; `metrics` and `control` are the built-in ones.

    A custom guardrail of those names keeps its own entry, under `custom:`.
    """
    own = {f"custom:{name}": custom(question, query) for name, query in question.custom.items()}
    return {"metrics": raw(question), "control": CONTROL, **own}
