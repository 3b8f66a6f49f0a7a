"""What Prometheus is asked: no more than the judgement needs, at the moments that are judged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator.engine_world import cutover, runner
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.guard.promql import SampleQuery
from tradepulse_operator.guard.query import baseline_query, sample_query

BEGAN = instant("2027-01-15T08:16:00Z")


def asked(phase: str, after: float, **status: Any) -> SampleQuery:
    found = sample_query(
        ReleaseCutover.model_validate(cutover(phase, **status)),
        TradingRunner.model_validate(runner()),
        BEGAN + after,
        "",
    )
    assert found
    return found


@pytest.mark.parametrize("phase", ["Pending", "Preflight"])
def test_the_question_does_not_grow_while_preflight_waits(phase: str) -> None:
    short, long = asked(phase, 10), asked(phase, 86_400)
    assert long.until - long.since == short.until - short.since


@pytest.mark.parametrize("ticks", [0, 1, 17])
def test_a_custom_query_is_evaluated_at_the_ticks_that_are_judged(ticks: int) -> None:
    step = asked("Baking", 0).step
    until = timestamp(BEGAN + ticks * step)
    bake = {"startedAt": timestamp(BEGAN), "evaluatedUntil": until, "verifiedSeconds": 0}
    found = asked("Baking", ticks * step + 3, bake=bake)
    assert (BEGAN - found.since) % step == 0
    assert found.since < BEGAN + ticks * step


def test_before_the_halt_the_span_holds_the_baseline() -> None:
    found = asked("Preflight", 10)
    assert found.release == "aaaa"
    assert found.until - found.since >= 600 + 60
    assert asked("Baking", 10).since > found.since


def rollback(step: str) -> dict[str, str]:
    at = timestamp(BEGAN)
    return {"step": step, "stepAt": at, "startedAt": at, "reason": "ErrorRateAboveLimit"}


@pytest.mark.parametrize(
    ("phase", "step", "release"),
    [
        ("Halting", "", "aaaa"),
        ("Switching", "", "bbbb"),
        ("Baking", "", "bbbb"),
        ("RollingBack", "Halting", "bbbb"),
        ("RollingBack", "CollectingEvidence", "bbbb"),
        ("RollingBack", "Stopping", "bbbb"),
        ("RollingBack", "Starting", "aaaa"),
        ("Verifying", "Starting", "aaaa"),
        ("RolledBack", "Starting", "aaaa"),
        # The verification failed: the target has been gone for long.
        ("Halted", "Starting", "aaaa"),
        ("Halted", "Stopping", "bbbb"),
        ("Halted", "", "bbbb"),
        ("Succeeded", "", "bbbb"),
        ("Failed", "", "aaaa"),
    ],
)
def test_the_release_that_is_asked_for_is_the_one_at_work(
    phase: str, step: str, release: str
) -> None:
    status = {"rollback": rollback(step)} if step else {}
    assert asked(phase, 10, **status).release == release


def test_the_baseline_can_be_asked_for_again() -> None:
    at = {"at": timestamp(BEGAN - 100)}
    moved = ReleaseCutover.model_validate(cutover("RollingBack", baseline=at))
    runs = TradingRunner.model_validate(runner())
    found = baseline_query(moved, runs, "")
    assert found
    assert (found.release, found.until) == ("aaaa", BEGAN - 100)
    # The window, and a guardrails.window before it for the first increase.
    assert found.since <= BEGAN - 100 - 600 - 60
    plain = ReleaseCutover.model_validate(cutover("RollingBack"))
    assert baseline_query(plain, runs, "") is None
