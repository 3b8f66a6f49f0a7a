"""What operator and runner say of their metrics, as the generator of `docs/metrics.md` reads it."""

from __future__ import annotations

import json

from tradepulse_operator.codegen.metrics import Program, Series
from tradepulse_operator.manager import metrics_description as operator
from tradepulse_runner.cli import metrics_description as runner


def programs() -> list[Program]:
    """The operator, then the runner's processes."""
    described = [Program.model_validate_json(json.dumps(each)) for each in runner.describe()]
    return [operator.describe(), *described]


def all_series() -> list[Series]:
    return [one for each in programs() for group in each.groups for one in group.series]
