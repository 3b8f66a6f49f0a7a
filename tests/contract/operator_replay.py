"""The operator's guard, asked about a vector."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tradepulse_operator.guard.evidence import HEARTBEAT, LATENCY, OUTCOMES
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.results import ERROR_RATE, METRIC_GAP, P95_LATENCY, Verdict
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.guard.verdict import judge

#: What makes a verdict before an instant is looked at more closely is not in its findings.
LEVELS = (ERROR_RATE, P95_LATENCY, METRIC_GAP)


def limits(vector: dict[str, Any]) -> Limits:
    found = vector["limits"]
    return Limits(
        interval=found["interval"],
        window=found["window"],
        scrape=found["scrape"],
        metric_gap=found["gap"],
        error_rate=found["error_rate"],
        p95=found["p95"],
        consecutive=1,
        min_requests=found["min_requests"],
    )


def recording(vector: dict[str, Any], until: float) -> Recording:
    """What Prometheus holds of the vector's samples at ``until``."""
    bounds = [*(str(bound) for bound in vector["bounds"]), "+Inf"]
    points: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)

    def add(at: float, value: Any, name: str, **labels: str) -> None:
        points[tuple(sorted({"__name__": name, **labels}.items()))].append((at, float(value)))

    for sample in vector["samples"]:
        if (at := sample["at"]) > until:
            continue
        add(at, sample["heartbeat"], HEARTBEAT)
        for venue, count in sample["venues"].items():
            for outcome in ("ok", "error"):
                add(at, count[outcome], OUTCOMES, venue=venue, outcome=outcome)
            for bound, value in zip(bounds, count["buckets"], strict=True):
                add(at, value, LATENCY, venue=venue, le=bound)
    control = tuple((at, 1.0) for at in vector["control"] if at <= until)
    return Recording(
        since=vector["start"],
        until=until,
        runner=tuple(Series(dict(key), tuple(found)) for key, found in points.items()),
        control=(Series({"__name__": "up"}, control),),
    )


def ask(vector: dict[str, Any], at: float) -> Verdict:
    """The verdict on the instant ``at``, from the samples up to it."""
    return judge(recording(vector, at), at, limits(vector), start=vector["start"])


def levels(vector: dict[str, Any], at: float) -> dict[str, str]:
    """Guardrail → ok, breach, gap or unknown; one that was not reached is unknown."""
    found = {finding.guardrail: str(finding.kind).lower() for finding in ask(vector, at).findings}
    return {level: found.get(level, "unknown") for level in LEVELS}
