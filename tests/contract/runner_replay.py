"""The guard in the process, told what a vector's process counted when it was scraped."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tradepulse_runner.guard.auto_rollback import AutoRollbackGuard
from tradepulse_runner.guard.slo import Reason, SLOConfig

LEVELS = {"errorRate": Reason.ERROR_RATE, "p95Latency": Reason.LATENCY, "metricGap": Reason.GAP}


def config(vector: dict[str, Any]) -> SLOConfig:
    found = vector["limits"]
    return SLOConfig(
        error_rate_threshold=found["error_rate"],
        latency_threshold_ms=found["p95"] * 1000,
        evaluation_period=found["window"],
        min_requests=found["min_requests"],
        gap=found["gap"],
    )


def levels(vector: dict[str, Any], at: float) -> dict[str, str]:
    """Guardrail → ok, breach, gap or unknown, at ``at``; judged every interval before it."""
    guard = _started(vector)
    before: dict[str, Any] = {"heartbeat": None, "venues": {}}
    looks = iter(_looks(vector, at))
    look = next(looks)
    for sample in vector["samples"]:
        if sample["at"] > at:
            break
        while look < sample["at"]:
            guard.evaluate(timestamp=look)
            look = next(looks)
        if _restarted(before, sample):
            guard, before = _started(vector), {"heartbeat": None, "venues": {}}
        if sample["heartbeat"] != before["heartbeat"]:
            guard.note("heartbeat", timestamp=sample["at"])
        if sample["at"] > vector["start"]:
            _count(guard, vector, before, sample)
        before = sample
    while look <= at:
        guard.evaluate(timestamp=look)
        look = next(looks, at + 1)
    return {level: str(guard.findings[reason].kind) for level, reason in LEVELS.items()}


def _started(vector: dict[str, Any]) -> AutoRollbackGuard:
    guard = AutoRollbackGuard(config(vector))
    guard.expect("heartbeat", timestamp=vector["start"])
    return guard


def _looks(vector: dict[str, Any], at: float) -> list[float]:
    """The instants that end with ``at``, an interval apart."""
    every = vector["limits"]["interval"]
    number = int((at - vector["start"]) // every)
    return [at - n * every for n in range(number, -1, -1)]


def _restarted(before: dict[str, Any], sample: dict[str, Any]) -> bool:
    return any(
        count["buckets"][-1] < before["venues"].get(venue, count)["buckets"][-1]
        for venue, count in sample["venues"].items()
    )


def _count(
    guard: AutoRollbackGuard, vector: dict[str, Any], before: dict[str, Any], sample: dict[str, Any]
) -> None:
    """The outcomes between two samples. Which of them failed is not told, nor does it matter."""
    slowest = [bound * 1000 for bound in vector["bounds"]]
    for venue, count in sample["venues"].items():
        old = before["venues"].get(venue, {"error": 0, "buckets": [0] * len(count["buckets"])})
        errors, known = count["error"], old["error"]
        failed = 0 if "NaN" in (errors, known) else errors - known
        rises = [new - was for new, was in zip(count["buckets"], old["buckets"], strict=True)]
        each = [rises[0], *(b - a for a, b in pairwise(rises))]
        for latency, times in zip([*slowest, slowest[-1] * 2], each, strict=True):
            for _ in range(times):
                guard.record_outcome(latency, failed <= 0, timestamp=sample["at"])
                failed -= 1
