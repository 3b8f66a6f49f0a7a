"""Describes the operator's metrics for `docs/metrics.md`, as a line of JSON on standard output."""

from __future__ import annotations

import sys

from prometheus_client import CollectorRegistry

from tradepulse_operator.codegen.metrics import Group, Program, described

from .metrics import Metrics
from .object_metrics import ObjectMetrics


def describe() -> Program:
    """Every metric of the operator's process."""
    objects = CollectorRegistry()
    ObjectMetrics(objects)
    by_object = described(objects)
    return Program(
        title="Operator",
        endpoint="At `/metrics` of the operator's `--port` (8080), where the probes are too.",
        groups=(
            Group(
                title="process",
                exported="Always; a replica that isn't the leader reconciles nothing.",
                series=tuple(one for one in described(Metrics().registry) if one not in by_object),
            ),
            Group(
                title="runners and cutovers",
                exported="By the leader: for each runner and each open cutover, until it is gone.",
                series=by_object,
            ),
        ),
    )


if __name__ == "__main__":
    sys.stdout.write(describe().model_dump_json() + "\n")
