"""Exhaustive: checks, rehearsals and drills keep their promises, and deliberate bugs are found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exploration.explore_auxiliary import DrillWorld, GateWorld, explore
from tradepulse_operator.api.cutover_status import CutoverPhase as PHASE
from tradepulse_operator.controllers.checklist import checklist, rehearsal
from tradepulse_operator.controllers.cutover import reconcile as dispatch
from tradepulse_operator.controllers.cutover.phases import preflight
from tradepulse_operator.controllers.drill import drill as drills


def test_whatever_happens_meanwhile_the_gate_holds_and_nothing_is_left() -> None:
    found = explore(GateWorld())
    print(f"{len(found.came)} states")
    phases = {state.phase for state in found.number}
    assert phases == {PHASE.PREFLIGHT, PHASE.HALTING, PHASE.SUCCEEDED, PHASE.FAILED}


def test_whatever_happens_a_drill_runs_once_and_is_recorded_once() -> None:
    found = explore(DrillWorld())
    print(f"{len(found.came)} states")


def halts_unrehearsed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preflight, "open_items", lambda _: "")


def leaves_pods_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "delete_finished_pods", lambda _: None)


def counts_another_pods_time(patch: pytest.MonkeyPatch) -> None:
    real = rehearsal.rehearsed

    def forgetful(observed: Any, policy: Any) -> Any:
        known, pod = observed.cutover.status.rehearsal, observed.rehearsal
        if known and pod and not known.result and not pod.deleting:
            return rehearsal._trading(observed, pod, known, policy)
        return real(observed, policy)

    patch.setattr(checklist, "rehearsed", forgetful)


@pytest.mark.parametrize(
    ("bug", "caught"),
    [
        (halts_unrehearsed, "halted un"),
        (leaves_pods_behind, "never comes to rest"),
        (counts_another_pods_time, "on another pod's time"),
    ],
)
def test_a_deliberate_bug_of_the_gate_is_found(
    monkeypatch: pytest.MonkeyPatch, bug: Any, caught: str
) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError, match=caught):
        explore(GateWorld(may_waive=False))


def records_before_it_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(drills, "_filed", lambda *_: True)


def leaves_the_pod(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(drills, "_prune", lambda *_: None)


@pytest.mark.parametrize(
    ("bug", "caught"),
    [
        (records_before_it_files, "recorded before its report|never comes to rest"),
        (leaves_the_pod, "never comes to rest"),
    ],
)
def test_a_deliberate_bug_of_the_drill_is_found(
    monkeypatch: pytest.MonkeyPatch, bug: Any, caught: str
) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError, match=caught):
        explore(DrillWorld())
