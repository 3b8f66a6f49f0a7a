"""The guard in the process says what the shared vectors expect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.runner_replay import LEVELS, levels
from tests.contract.vectors import slo
from tradepulse_runner.guard.slo import LATENCY_BUCKETS


@pytest.mark.parametrize("vector", [pytest.param(v, id=name) for name, v in slo.load().items()])
def test_the_process_agrees(vector: dict[str, Any]) -> None:
    for expected in vector["verdicts"]:
        own = expected.get("runner", {})
        if own is not None:
            wanted = {level: expected[level] for level in LEVELS} | own
            assert levels(vector, expected["at"]) == wanted


def test_the_vectors_are_about_this_histogram() -> None:
    assert slo.BOUNDS == LATENCY_BUCKETS


def test_every_difference_has_a_reason() -> None:
    for vector in slo.load().values():
        for expected in vector["verdicts"]:
            assert ("runner" in expected) == bool(expected.get("because"))
