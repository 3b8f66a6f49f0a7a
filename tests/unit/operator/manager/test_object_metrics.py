"""Series by object follow its status, and go with it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.support.operator.engine_world import cutover, runner
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.time import instant
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.object_metrics import CONDITIONS, ObjectMetrics

RUNNER_KEY, CUTOVER_KEY = keys.runner("ns", "btc"), keys.cutover("ns", "btc-1")
AT = "2027-01-15T08:16:00Z"
CONDITION = "tradepulse_operator_runner_condition"
DRILLED = "tradepulse_operator_drill_last_success_timestamp_seconds"
UNDECIDED = "tradepulse_operator_cutover_undecided"
PHASE = "tradepulse_operator_cutover_phase_started_timestamp_seconds"
END = "tradepulse_operator_cutover_phase_expected_end_timestamp_seconds"


class Shown:
    """The metrics, and what a scrape finds of one name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ObjectMetrics(self.registry)

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """Values by what the labels say beyond the runner."""
        found = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == name:
                    labels = dict(sample.labels)
                    assert (labels.pop("runner_namespace"), labels.pop("runner")) == ("ns", "btc")
                    found[tuple(labels.values())] = sample.value
        return found

    def runner(self, **status: Any) -> None:
        body = {**runner(), "status": status}
        self.metrics.runner(TradingRunner.model_validate(body))

    def cutover(self, phase: str, **status: Any) -> None:
        found = ReleaseCutover.model_validate(cutover(phase, **status))
        self.metrics.cutover(CUTOVER_KEY, found)


def condition(kind: str, status: str) -> dict[str, str]:
    said = {"reason": "Any", "message": "", "lastTransitionTime": AT}
    return {"type": kind, "status": status, **said}


def test_every_condition_is_shown_whether_it_is_there_or_not() -> None:
    shown = Shown()
    shown.runner(conditions=[condition("Ready", "True"), condition("KillSwitch", "False")])
    found = shown.of(CONDITION)
    assert found.keys() == {(kind,) for kind in CONDITIONS}
    assert (found[("Ready",)], found[("KillSwitch",)], found[("Stalled",)]) == (1.0, 0.0, -1.0)
    shown.runner(conditions=[condition("Stalled", "True"), condition("Ready", "Unknown")])
    found = shown.of(CONDITION)
    assert (found[("Ready",)], found[("KillSwitch",)], found[("Stalled",)]) == (-1.0, -1.0, 1.0)


def test_a_drill_that_passed_is_shown_by_its_time() -> None:
    shown = Shown()
    shown.runner()
    assert shown.of(DRILLED) == {}
    drill = {"at": AT, "scheduledFor": AT, "target": "Rehearsal", "result": "Failed"}
    shown.runner(lastDrill={**drill, "release": "aaaa"})
    assert shown.of(DRILLED) == {}
    shown.runner(lastDrill={**drill, "release": "aaaa", "result": "Passed", "passedAt": AT})
    assert shown.of(DRILLED) == {(): instant(AT)}


def test_a_runner_that_is_gone_leaves_nothing() -> None:
    shown = Shown()
    shown.runner(conditions=[condition("Ready", "True")])
    shown.metrics.forget(RUNNER_KEY)
    assert shown.of(CONDITION) == {}
    shown.metrics.forget(RUNNER_KEY)


def test_an_open_cutover_is_shown_by_its_phase_and_what_the_guard_knows() -> None:
    shown = Shown()
    shown.cutover("Baking")
    assert (shown.of(PHASE), shown.of(UNDECIDED)) == (
        {("btc-1", "Baking"): instant(AT)},
        {("btc-1",): 0.0},
    )
    verdict = {"verdict": "unknown", "guardrail": "", "reason": "no answer", "at": AT}
    shown.cutover("Baking", verdict=verdict)
    assert shown.of(UNDECIDED) == {("btc-1",): 1.0}


def test_a_phase_with_a_limit_shows_when_it_is_over() -> None:
    shown = Shown()
    shown.cutover("Switching")
    assert shown.of(END) == {("btc-1", "Switching"): instant(AT) + 300}
    at = "2027-01-15T08:10:00Z"
    back = {"step": "Halting", "stepAt": AT, "startedAt": at, "reason": "Any"}
    shown.cutover("RollingBack", rollback=back)
    assert shown.of(END) == {("btc-1", "RollingBack"): instant(AT) + 60}
    shown.cutover("RollingBack", rollback={**back, "step": "CollectingEvidence"})
    assert shown.of(END) == {("btc-1", "RollingBack"): instant(AT) + 30}
    shown.cutover("Verifying", rollback={**back, "step": "Starting"})
    assert shown.of(END) == {("btc-1", "Verifying"): instant(at) + 600}
    shown.cutover("Halted", rollback={**back, "step": "Starting"})
    assert shown.of(END) == {}


@pytest.mark.parametrize("phase", ["Pending", "Preflight", "AwaitingApproval", "Baking"])
def test_a_phase_that_waits_for_people_or_evidence_is_never_late(phase: str) -> None:
    shown = Shown()
    shown.cutover("Halting")
    assert shown.of(END) == {("btc-1", "Halting"): instant(AT) + 60}
    shown.cutover(phase)
    assert shown.of(END) == {}


def test_a_cutover_whose_runner_is_suspended_is_never_late() -> None:
    shown = Shown()
    paused = {**condition("Reconciling", "True"), "reason": "Paused"}
    shown.cutover("Switching", conditions=[paused])
    assert shown.of(END) == {}
    assert shown.of(PHASE).keys() == {("btc-1", "Switching")}


def test_a_phase_that_was_left_is_not_shown_any_more_nor_a_cutover_that_ended() -> None:
    shown = Shown()
    shown.cutover("Baking")
    shown.cutover("RollingBack")
    assert shown.of(PHASE).keys() == {("btc-1", "RollingBack")}
    shown.cutover("RolledBack")
    assert (shown.of(PHASE), shown.of(UNDECIDED)) == ({}, {})
    shown.cutover("Baking")
    shown.metrics.forget(CUTOVER_KEY)
    assert (shown.of(PHASE), shown.of(UNDECIDED)) == ({}, {})
