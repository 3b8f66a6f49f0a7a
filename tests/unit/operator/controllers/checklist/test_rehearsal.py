"""The rehearsal: when it runs, what it is judged by, and what becomes of its pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator.cutovers import (
    NOW,
    PHASE,
    SOURCE,
    TRADING,
    UID,
    Samples,
    cutover,
    pod,
    runner,
    seen,
    status,
    written,
)
from tradepulse_operator.api.checklist import CheckRecord, CheckResult
from tradepulse_operator.api.rehearsal import RehearsalStatus
from tradepulse_operator.common.names import CONFIG_FILE
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.checklist.checklist import rehearsal_policy
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.controllers.observed.views import AuxiliaryPodView, CutoverObserved
from tradepulse_operator.controllers.step import Apply, Delete

OK = Samples("ok").recording()
RESULT = CheckResult
POLICY = {"rehearsal": {"required": True, "duration": "1m", "minOrders": 20}}
CONFIG = {"kind": "ConfigMap", "data": {CONFIG_FILE: "venues: []\n"}}
RUNS = AuxiliaryPodView(uid="p", ready=True, image_id="sha256:1", created_at=NOW - 100)
STARTS = replace(RUNS, ready=False, created_at=NOW - 10)
PAPER = replace(TRADING, orders=100, failed_orders=1, p95_milliseconds=20.0)


def rehearsal(age: float, **changes: Any) -> RehearsalStatus:
    """One that was seen trading `age` seconds ago."""
    found = RehearsalStatus(pod="p", started_at=timestamp(NOW - age), image_id="sha256:1")
    return found.model_copy(update=changes)


def at(
    begun: RehearsalStatus | None = None,
    pod_: AuxiliaryPodView | None = RUNS,
    process: Any = PAPER,
    *,
    known: str = "waits for a pod that trades the release on paper",
    spec: dict[str, Any] | None = None,
    **changes: Any,
) -> CutoverObserved:
    at = timestamp(NOW - 60)
    record = CheckRecord(name="rehearsal", result=RESULT.PENDING, message=known, at=at)
    found = status(PHASE.PREFLIGHT, rehearsal=begun, checklist=(record,))
    world = {
        "pod": pod(SOURCE),
        "process": TRADING,
        "recording": OK,
        "target_config": CONFIG,
        "rehearsal": pod_,
        "rehearsal_process": process,
    }
    return seen(cutover(found, **(spec or POLICY)), **{**world, **changes})


def test_it_is_made_once_the_release_is_known_to_start() -> None:
    made = decide(at(pod_=None, process=None))
    assert isinstance(made, Apply)
    assert made.manifest["metadata"]["name"] == f"rehearsal-{UID}"
    checked = {**POLICY, "checklist": [{"name": "config"}]}
    first = at(pod_=None, process=None, spec=checked)
    assert [one.name for one in written(decide(first)).checklist] == ["config", "rehearsal"]
    open_ = tuple(
        CheckRecord(name=name, result=RESULT.PENDING, message=message, at=timestamp(NOW))
        for name, message in {
            "config": "waits for the answer of the target release's check pod",
            "rehearsal": "waits for a pod that trades the release on paper",
        }.items()
    )
    found = status(PHASE.PREFLIGHT, checklist=open_)
    made = decide(replace(first, cutover=cutover(found, **checked)))
    assert isinstance(made, Apply)
    assert made.manifest["metadata"]["name"] == f"check-{UID}"


def test_it_begins_when_it_is_seen_trading() -> None:
    found = written(decide(at())).rehearsal
    assert found == rehearsal(0)


@pytest.mark.parametrize(
    ("pod_", "process"),
    [
        (STARTS, None),
        (STARTS, replace(PAPER, state="RECONCILING")),
        (RUNS, None),
        (RUNS, replace(PAPER, state="HALTED")),
        (replace(RUNS, deleting=True), PAPER),
    ],
)
def test_until_then_it_waits(pod_: AuxiliaryPodView, process: Any) -> None:
    assert written(decide(at(None, pod_, process))).rehearsal is None


@pytest.mark.parametrize(
    ("age", "pod_", "process", "result", "message"),
    [
        (61, RUNS, PAPER, RESULT.PASS, "traded 100 orders in 1m"),
        (61, RUNS, replace(PAPER, failed_orders=2), RESULT.PASS, "traded"),
        (61, RUNS, replace(PAPER, failed_orders=3), RESULT.FAIL, "3 of 100 orders failed"),
        (5, RUNS, replace(PAPER, failed_orders=60), RESULT.FAIL, "more than errorRate 0.02"),
        (61, RUNS, replace(PAPER, orders=19, failed_orders=0), RESULT.FAIL, "than minOrders"),
        (61, RUNS, replace(PAPER, p95_milliseconds=501.0), RESULT.FAIL, "p95 latency 501 ms above"),
        (61, RUNS, replace(PAPER, p95_milliseconds=None), RESULT.PASS, "traded"),
        (5, RUNS, replace(PAPER, kill_switch=True, kill_switch_reason="loss"), RESULT.FAIL, "loss"),
        (5, replace(RUNS, ended=True, exit_code=137), None, RESULT.FAIL, "exit code 137"),
        (91, RUNS, None, RESULT.FAIL, "didn't answer any more"),
    ],
)
def test_what_it_is_judged_by(
    age: float, pod_: AuxiliaryPodView, process: Any, result: CheckResult, message: str
) -> None:
    found = written(decide(at(rehearsal(age), pod_, process)))
    assert found.phase is PHASE.PREFLIGHT
    assert found.rehearsal
    assert found.rehearsal.result is result
    assert found.rehearsal.finished_at == timestamp(NOW)
    assert message in found.rehearsal.message
    assert found.checklist[0].result is result


@pytest.mark.parametrize(
    ("age", "process"),
    [
        (59, PAPER),
        (59, replace(PAPER, orders=3)),
        (59, replace(PAPER, orders=3, failed_orders=1)),  # chance explains one of three
        (89, None),
    ],
)
def test_before_the_end_it_goes_on(age: float, process: Any) -> None:
    assert written(decide(at(rehearsal(age), RUNS, process))).checklist[0].result is RESULT.PENDING


@pytest.mark.parametrize(
    ("pod_", "process", "message"),
    [
        (replace(STARTS, created_at=NOW - 301), None, "its process doesn't answer"),
        (
            replace(STARTS, created_at=NOW - 301),
            replace(PAPER, state="HALTED"),
            "its process says HALTED",
        ),
        (replace(STARTS, ended=True, exit_code=1, message="no"), None, "exit code 1: no"),
    ],
)
def test_one_that_never_trades_fails(pod_: AuxiliaryPodView, process: Any, message: str) -> None:
    found = written(decide(at(None, pod_, process))).rehearsal
    assert found
    assert found.result is RESULT.FAIL
    assert message in found.message


@pytest.mark.parametrize("begun", [None, rehearsal(30)])
def test_a_pod_that_was_lost_is_no_failure(begun: RehearsalStatus | None) -> None:
    """Evicted, or its node is gone: another pod begins anew."""
    lost = replace(RUNS, ended=True, ready=False, exit_code=None, message="Evicted")
    says = "the pod of the rehearsal was lost: another one follows"
    assert isinstance(decide(at(begun, lost, None, known=says)), Delete)
    assert isinstance(decide(at(begun, None, None)), Apply)
    other = replace(RUNS, uid="q")
    assert written(decide(at(begun, other))).rehearsal == rehearsal(0, pod="q")


def test_the_pod_goes_once_it_is_judged_and_the_fault_holds() -> None:
    judged = rehearsal(61, result=RESULT.FAIL, message="3 of 100 orders failed")
    record = CheckRecord(
        name="rehearsal", result=RESULT.FAIL, message=judged.message, at=timestamp(NOW)
    )
    found = status(PHASE.PREFLIGHT, rehearsal=judged, checklist=(record,))
    held = replace(at(judged), cutover=cutover(found, **POLICY))
    step = decide(held)
    assert isinstance(step, Delete)
    assert step.ref.name == f"rehearsal-{UID}"
    waits = written(decide(replace(held, rehearsal=None)))
    assert waits.phase is PHASE.PREFLIGHT
    assert waits.message == "waits for the checklist: rehearsal (3 of 100 orders failed)"


def test_someone_may_go_on_without_it() -> None:
    waiver = {"check": "rehearsal", "by": "ada", "reason": "the paper venue has no such symbol"}
    found = at(None, RUNS, spec={**POLICY, "waivers": [waiver]})
    record = written(decide(found)).checklist[0]
    assert (record.result, record.by) == (RESULT.WAIVED, "ada")
    held = cutover(status(PHASE.PREFLIGHT, checklist=(record,)), **POLICY, waivers=[waiver])
    assert isinstance(decide(replace(found, cutover=held)), Delete)
    gone = replace(found, cutover=held, rehearsal=None)
    assert written(decide(gone)).phase is PHASE.HALTING


def test_the_runners_owner_asks_for_it_of_every_cutover() -> None:
    owner = runner(cutover={"template": POLICY})
    weaker = {"rehearsal": {"required": True, "duration": "1s", "minOrders": 1}}
    bare = status(PHASE.PREFLIGHT)
    for mine in ({}, weaker):
        found = rehearsal_policy(cutover(bare, **mine), owner)
        assert found
        assert found.duration == "1m"
    own = rehearsal_policy(cutover(bare, **weaker), runner())
    assert own
    assert own.duration == "1s"
    assert rehearsal_policy(cutover(bare), runner()) is None
