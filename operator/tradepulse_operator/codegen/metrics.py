"""Generates `docs/metrics.md` from what the programs say of their series.

Operator and runner share no code, so each describes its own series as lines of JSON (`Program`),
and this reads them; `make crds` has the whole command:

    DESCRIPTIONS | python -m tradepulse_operator.codegen.metrics docs [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, ConfigDict

from .files import main

_HEAD = """# Metrics

<!-- Generated from the metrics that operator and runner define by `make crds`. -->

What operator and runner export in Prometheus' text format. A histogram has the series `_bucket`,
`_sum` and `_count`; counters and histograms come with a `_created` series each, which says since
when they count. The alert rules on these series are explained in the
[runbooks](runbooks/README.md), the words in the [glossary](glossary.md).
"""
#: Unit by what a name says, first match first; it is read without the `_total` of a counter.
_UNITS = (
    (r"(_timestamp|_timestamp_seconds|_heartbeat)$", "Unix time in seconds"),
    (r"_seconds$", "seconds"),
    (r"_bytes$", "bytes"),
    (r"_share$", "ratio"),
)


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Series(_Described):
    """One metric. `name`: as it is queried, with the `_total` of a counter; `type`:"
    " Prometheus' word."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


class Group(_Described):
    """Metrics that are exported together. `exported`: under which condition, as a sentence."""

    title: str
    exported: str
    series: tuple[Series, ...]


class Program(_Described):
    """A process and all its metrics. `endpoint`: where they are scraped, as a sentence."""

    title: str
    endpoint: str
    groups: tuple[Group, ...]


def described(registry: CollectorRegistry) -> tuple[Series, ...]:
    """The metrics of `registry` in the order of their registration, also those without a sample."""
    # The client library offers the names of labels nowhere in public.
    collectors = registry._collector_to_names
    return tuple(_series(each) for each in collectors if isinstance(each, MetricWrapperBase))


def _series(metric: MetricWrapperBase) -> Series:
    (family,) = metric.describe()
    return Series(
        name=f"{family.name}_total" if family.type == "counter" else family.name,
        type=family.type,
        labels=tuple(metric._labelnames),
        help=family.documentation,
    )


def text(programs: Iterable[Program]) -> str:
    """The whole page."""
    lines = [line for program in programs for line in _program(program)]
    return "\n".join([_HEAD, *lines]).rstrip() + "\n"


def _program(program: Program) -> Iterator[str]:
    yield f"## {program.title}\n"
    yield f"{program.endpoint}\n"
    for group in program.groups:
        yield f"### {program.title}: {group.title}\n"
        yield f"{group.exported}\n"
        yield "| Metric | Type | Labels | Unit | Meaning |"
        yield "|---|---|---|---|---|"
        yield from (_row(series) for series in group.series)
        yield ""


def _row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    about = series.help.replace("|", "\\|")
    return f"| `{series.name}` | {series.type} | {labels} | {unit(series)} | {about} |"


def unit(series: Series) -> str:
    """What a value is measured in."""
    name = series.name.removesuffix("_total")
    for pattern, word in _UNITS:
        if re.search(pattern, name):
            return word
    if series.help.startswith("1 "):
        return "1 or 0"
    return "count" if series.type == "counter" else "number"


if __name__ == "__main__":
    pages = {"metrics.md": text(Program.model_validate_json(line) for line in sys.stdin)}
    usage = "DESCRIPTIONS | python -m tradepulse_operator.codegen.metrics docs [--check]"
    sys.exit(main(pages, sys.argv[1:], usage=usage))
