"""How a cutover is watched: the limits, the bake and the rollback."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model, matches, required, rule, unique
from .units import Duration, Name, seconds

PrometheusUrl = Annotated[
    str,
    Field(max_length=512),
    matches(
        r"^https?://[!-~]+$", "not a URL: write e.g. http://prometheus-operated.monitoring:9090"
    ),
]
Limit = Annotated[float, Field(allow_inf_nan=False)]


#: The largest finite bucket of the runner's latency histogram; more can't be told apart from it.
LONGEST_LATENCY = "10s"


class CustomGuardrail(Model):
    """A PromQL expression of the user's own with a limit."""

    cel = (
        rule(
            "has(self.max) || has(self.min)",
            "a custom guardrail needs a limit: set max, min or both",
            holds=lambda it: it.max is not None or it.min is not None,
        ),
        rule(
            "!has(self.max) || !has(self.min) || self.min <= self.max",
            "min must not be above max, no value could pass: lower min or raise max",
            ".min",
            holds=lambda it: it.max is None or it.min is None or it.min <= it.max,
        ),
    )

    name: Name = Field(description="Name of the guardrail, unique in its cutover.")
    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="PromQL that yields one series. `$runner`, `$namespace` and `$release` are"
        " replaced by the runner's name, its namespace and the release's id.",
        json_schema_extra=required("write the PromQL that is judged"),
    )
    max: Limit | None = Field(default=None, description="A value above this is a breach.")
    min: Limit | None = Field(default=None, description="A value below this is a breach.")


class Guardrails(Model):
    """What the new release must keep to while it bakes."""

    cel = (
        rule(
            "duration(self.interval) >= duration('1s')",
            "interval must be at least 1s: Prometheus is asked once an interval",
            ".interval",
            holds=lambda it: seconds(it.interval) >= 1,
        ),
        rule(
            "duration(self.window) >= duration(self.interval)",
            "window must not be shorter than interval: raise window or lower interval",
            ".window",
            holds=lambda it: seconds(it.window) >= seconds(it.interval),
        ),
        rule(
            f"duration(self.p95Latency) <= duration('{LONGEST_LATENCY}')",
            f"p95Latency must not be above {LONGEST_LATENCY}, the largest latency that the runner's"
            " histogram tells apart: lower it",
            ".p95Latency",
            holds=lambda it: seconds(it.p95_latency) <= seconds(LONGEST_LATENCY),
        ),
        rule(
            "self.custom.all(a, self.custom.exists_one(b, b.name == a.name))",
            "custom guardrails must have different names: rename one",
            ".custom",
            holds=lambda it: unique(custom.name for custom in it.custom),
        ),
    )

    prometheus: PrometheusUrl | None = Field(
        default=None,
        description="URL of the Prometheus that scrapes the runner; the operator's own default"
        " when left out.",
    )
    interval: Duration = Field(
        default="15s", description="Time between two judgements, at least 1s."
    )
    window: Duration = Field(
        default="1m", description="Span of samples that one judgement looks back on."
    )
    error_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.02,
        description="Share of order requests that may fail. A release goes back once its samples"
        " leave no reasonable doubt (95 %) that it fails more, and isn't promoted while all in all"
        " it does.",
    )
    p95_latency: Duration = Field(
        default="500ms",
        description="95th percentile that the order latency may reach, at most 10s; with the same"
        " certainty as errorRate.",
    )
    metric_gap: Duration | None = Field(
        default=None,
        description="Silence of the runner's heartbeat that counts as a gap; two scrape intervals"
        " of the runner and a second when left out.",
    )
    consecutive: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="Breaches in a row that trigger the rollback."
    )
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20,
        description="Order requests that a window must hold to be judged; with fewer the verdict"
        " is unknown and the time doesn't count as baked.",
    )
    custom: Annotated[tuple[CustomGuardrail, ...], Field(max_length=16)] = Field(
        default=(),
        description="Guardrails of your own.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
