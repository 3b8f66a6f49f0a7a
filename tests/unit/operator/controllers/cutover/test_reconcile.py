"""Each phase's decision, as a table: what is seen → where it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator.cutovers import (
    DRAINED,
    NOW,
    PHASE,
    SOURCE,
    TARGET,
    TRADING,
    UID,
    Samples,
    cutover,
    pod,
    rollback,
    runner,
    seen,
    stateful_set,
    status,
    written,
)
from tradepulse_operator.api.cutover_status import (
    CutoverPhase,
    ReleaseCutoverStatus,
    ReportRecord,
    RollbackStep,
    VerdictKind,
)
from tradepulse_operator.api.phases import TABLE as PLACES
from tradepulse_operator.api.phases import final
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.conditions import find_condition, is_true
from tradepulse_operator.controllers.cutover.reconcile import decide, needs_recording
from tradepulse_operator.controllers.cutover.status import expected_end
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView
from tradepulse_operator.controllers.step import Apply, FileReport, Wait, WriteStatus

STEP = RollbackStep
FILED = ReportRecord(config_map="move-incident", captured_at=timestamp(NOW))
BACKUP = json.dumps({"ok": True, "backup": {"id": UID, "files": 3, "bytes": 9, "sha256": "a"}})
OTHER = json.dumps({"ok": True, "backup": {"id": "another", "files": 3}})


def at(phase: CutoverPhase, age: float = 1.0, **changes: Any) -> CutoverObserved:
    spec = changes.pop("spec", {})
    held: dict[str, Any] = {k: changes.pop(k) for k in ("rollback", "bake") if k in changes}
    if filed := changes.pop("filed", None):
        held["report"] = filed
    return seen(cutover(status(phase, age, **held), **spec), **changes)


def back(step: RollbackStep, age: float = 1.0, **changes: Any) -> CutoverObserved:
    return at(PHASE.ROLLING_BACK, age, rollback=rollback(step, age), **changes)


def source(**changes: Any) -> Any:
    return pod(SOURCE, **changes)


OK, BREACH, GAP = Samples("ok").recording(), Samples("breach").recording(), Samples("gap")
QUIET, OUTAGE = Samples("quiet").recording(), Samples("outage").recording()
SUSPENDED = runner(suspend=True)
DELETED = runner()
DELETED = DELETED.model_copy(
    update={"metadata": DELETED.metadata.model_copy(update={"deletion_timestamp": "2026"})}
)
FREE = runner()
FREE = FREE.model_copy(update={"status": FREE.status.model_copy(update={"cutover": None})})
ROLLBACK = {"onInconclusive": "Rollback"}
CAREFUL = runner(cutover={"template": {"approvals": {"required": ["risk"]}}})


def approvals(
    *signed: str, roles: tuple[str, ...] = ("risk",), release: str = TARGET.id
) -> dict[str, Any]:
    """Sign-offs that are required, and those that were given."""
    granted = [{"role": role, "by": f"{role}-ada", "release": release} for role in signed]
    return {"approvals": {"required": list(roles), "granted": granted}}


#: what is seen → (phase or rollback step that is entered, None where it waits)
TABLE: dict[str, tuple[CutoverObserved, CutoverPhase | RollbackStep | None]] = {
    "new": (seen(cutover(status(None))), PHASE.PENDING),
    "preflight aborted": (at(PHASE.PREFLIGHT, spec={"abort": True}), PHASE.FAILED),
    "preflight ok": (at(PHASE.PREFLIGHT, pod=source(), recording=OK), PHASE.HALTING),
    "preflight unsigned": (
        at(PHASE.PREFLIGHT, pod=source(), recording=OK, spec=approvals()),
        PHASE.AWAITING_APPROVAL,
    ),
    "preflight, asked of the runner": (
        at(PHASE.PREFLIGHT, pod=source(), recording=OK, runner=CAREFUL),
        PHASE.AWAITING_APPROVAL,
    ),
    "awaiting, unsigned": (
        at(PHASE.AWAITING_APPROVAL, 9999, pod=source(), recording=OK, spec=approvals()),
        None,
    ),
    "awaiting, one of two": (
        at(
            PHASE.AWAITING_APPROVAL,
            pod=source(),
            recording=OK,
            spec=approvals("risk", roles=("risk", "platform")),
        ),
        None,
    ),
    "awaiting, another release": (
        at(
            PHASE.AWAITING_APPROVAL,
            pod=source(),
            recording=OK,
            spec=approvals("risk", release="0000000000"),
        ),
        None,
    ),
    "awaiting, signed": (
        at(PHASE.AWAITING_APPROVAL, pod=source(), recording=OK, spec=approvals("risk")),
        PHASE.HALTING,
    ),
    "awaiting, signed, blind": (
        at(PHASE.AWAITING_APPROVAL, pod=source(), recording=OUTAGE, spec=approvals("risk")),
        None,
    ),
    "awaiting, aborted": (
        at(PHASE.AWAITING_APPROVAL, spec={**approvals(), "abort": True}),
        PHASE.FAILED,
    ),
    "awaiting, suspended": (at(PHASE.AWAITING_APPROVAL, runner=SUSPENDED), PHASE.FAILED),
    "preflight, no pod": (at(PHASE.PREFLIGHT, recording=OK), None),
    "preflight, not ready": (at(PHASE.PREFLIGHT, pod=source(ready=False), recording=OK), None),
    "preflight, other pod": (at(PHASE.PREFLIGHT, pod=pod(), recording=OK), None),
    "preflight, no volume": (at(PHASE.PREFLIGHT, pod=source(), recording=OK, pvc=None), None),
    "preflight, blind": (at(PHASE.PREFLIGHT, 9999, pod=source(), recording=OUTAGE), None),
    "preflight, no samples": (at(PHASE.PREFLIGHT, pod=source()), None),
    "preflight, suspended": (at(PHASE.PREFLIGHT, runner=SUSPENDED), PHASE.FAILED),
    "preflight, deleted": (at(PHASE.PREFLIGHT, runner=DELETED), PHASE.FAILED),
    "preflight, gone": (at(PHASE.PREFLIGHT, runner=None), PHASE.FAILED),
    "halting, trading": (at(PHASE.HALTING, pod=source(), process=TRADING), None),
    "halting, drained": (at(PHASE.HALTING, pod=source(), process=DRAINED), PHASE.BACKING_UP),
    "halting, half": (
        at(PHASE.HALTING, pod=source(), process=replace(DRAINED, halt_complete=False)),
        None,
    ),
    "halting, another's": (
        at(PHASE.HALTING, pod=source(), process=replace(DRAINED, halt_token="x")),
        None,
    ),
    "halting, pod gone": (at(PHASE.HALTING), PHASE.BACKING_UP),
    "halting, late": (at(PHASE.HALTING, 61, pod=source(), process=TRADING), PHASE.BACKING_UP),
    "halting, aborted": (at(PHASE.HALTING, pod=source(), spec={"abort": True}), PHASE.FAILED),
    "halting, suspended": (at(PHASE.HALTING, pod=source(), runner=SUSPENDED), PHASE.FAILED),
    "backup, old pod": (at(PHASE.BACKING_UP, pod=source()), None),
    "backup, running": (at(PHASE.BACKING_UP, pod=pod(ready=False, init_exit=None)), None),
    "backup, made": (at(PHASE.BACKING_UP, pod=pod(init_message=BACKUP)), PHASE.SWITCHING),
    "backup, another's": (at(PHASE.BACKING_UP, pod=pod(init_message=OTHER)), PHASE.ROLLING_BACK),
    "backup, silent": (at(PHASE.BACKING_UP, pod=pod()), PHASE.ROLLING_BACK),
    "backup, not JSON": (at(PHASE.BACKING_UP, pod=pod(init_message="[")), PHASE.ROLLING_BACK),
    "backup, failed": (at(PHASE.BACKING_UP, pod=pod(init_exit=1)), PHASE.ROLLING_BACK),
    "backup, late": (at(PHASE.BACKING_UP, 301), PHASE.ROLLING_BACK),
    "backup, aborted": (at(PHASE.BACKING_UP, spec={"abort": True}), PHASE.ROLLING_BACK),
    "backup, leaving": (at(PHASE.BACKING_UP, pod=pod(init_message=BACKUP, deleting=True)), None),
    "switching, ready": (at(PHASE.SWITCHING, pod=pod()), PHASE.BAKING),
    "switching, not yet": (at(PHASE.SWITCHING, pod=pod(ready=False)), None),
    "switching, no pod": (at(PHASE.SWITCHING), None),
    "switching, no image": (
        at(PHASE.SWITCHING, pod=pod(ready=False, waiting="ImagePullBackOff")),
        PHASE.ROLLING_BACK,
    ),
    "switching, crashed": (
        at(PHASE.SWITCHING, pod=pod(ready=False, restarts=1)),
        PHASE.ROLLING_BACK,
    ),
    "switching, late": (at(PHASE.SWITCHING, 301, pod=pod(ready=False)), PHASE.ROLLING_BACK),
    "switching, suspended": (at(PHASE.SWITCHING, 301, runner=SUSPENDED), None),
    "baking, ok": (at(PHASE.BAKING, 100, pod=pod(), recording=OK), None),
    "baking, done": (at(PHASE.BAKING, 600, pod=pod(), recording=OK), PHASE.SUCCEEDED),
    "baking, breach": (at(PHASE.BAKING, 600, pod=pod(), recording=BREACH), PHASE.ROLLING_BACK),
    "baking, gap": (
        at(PHASE.BAKING, 600, pod=pod(), recording=GAP.recording()),
        PHASE.ROLLING_BACK,
    ),
    "baking, quiet": (at(PHASE.BAKING, 600, pod=pod(), recording=QUIET), None),
    "baking, blind": (at(PHASE.BAKING, 9999, pod=pod(), recording=OUTAGE), None),
    "baking, blind, impatient": (
        at(PHASE.BAKING, 9999, pod=pod(), recording=OUTAGE, spec=ROLLBACK),
        PHASE.ROLLING_BACK,
    ),
    "baking, no samples": (at(PHASE.BAKING, 600, pod=pod()), None),
    "baking, loops": (
        at(PHASE.BAKING, 100, pod=pod(waiting="CrashLoopBackOff"), recording=OK),
        PHASE.ROLLING_BACK,
    ),
    "baking, aborted": (
        at(PHASE.BAKING, 100, recording=OK, spec={"abort": True}),
        PHASE.ROLLING_BACK,
    ),
    "baking, gone": (at(PHASE.BAKING, runner=None), PHASE.HALTED),
    "baking, unclaimed": (at(PHASE.BAKING, 600, runner=FREE, recording=BREACH), None),
    "back, trading": (back(STEP.HALTING, pod=pod(), process=TRADING), None),
    "back, drained": (back(STEP.HALTING, pod=pod(), process=DRAINED), STEP.COLLECTING_EVIDENCE),
    "back, unreachable": (back(STEP.HALTING, 11, pod=pod()), None),
    "back, frozen process, told": (
        back(STEP.HALTING, 4, pod=pod(), report="evidence", filed=FILED),
        None,
    ),
    "back, late": (back(STEP.HALTING, 61, pod=pod()), STEP.COLLECTING_EVIDENCE),
    "back, never ran": (
        back(STEP.HALTING, pod=pod(init_exit=1, ready=False)),
        STEP.COLLECTING_EVIDENCE,
    ),
    "back, evidence": (back(STEP.COLLECTING_EVIDENCE, report="evidence"), STEP.STOPPING),
    "back, given up": (back(STEP.COLLECTING_EVIDENCE, 31), STEP.STOPPING),
    "back, stopping": (back(STEP.STOPPING, pod=pod(deleting=True)), None),
    "back, stopped": (back(STEP.STOPPING), STEP.STARTING),
    "back, template behind": (back(STEP.STOPPING, stateful_set=stateful_set(TARGET)), None),
    "back, template unseen": (
        back(STEP.STOPPING, stateful_set=stateful_set(SOURCE or TARGET, observed=False)),
        None,
    ),
    "back, no StatefulSet": (back(STEP.STOPPING, stateful_set=None), None),
    "back, source up": (back(STEP.STOPPING, pod=source(ready=False)), STEP.STARTING),
    "back, stuck": (back(STEP.STOPPING, 601, pod=pod(deleting=True)), PHASE.HALTED),
    "back, starting": (back(STEP.STARTING, pod=source(ready=False)), None),
    "back, started": (back(STEP.STARTING, pod=source()), PHASE.VERIFYING),
    "back, bad pod": (back(STEP.STARTING, pod=pod()), None),
    "back, restore failed": (back(STEP.STARTING, pod=source(init_exit=1, ready=False)), None),
    "back, start late": (back(STEP.STARTING, 601, pod=source(ready=False)), PHASE.HALTED),
    "back, frozen": (
        back(
            STEP.STARTING,
            pod=source(ready=False),
            process=ProcessView("HALTED", kill_switch=True),
            spec={"rollback": {"state": "Freeze"}},
        ),
        PHASE.HALTED,
    ),
    "back, suspended": (back(STEP.STARTING, 601, runner=SUSPENDED), None),
    "back, aborted": (back(STEP.STARTING, pod=source(ready=False), spec={"abort": True}), None),
    "verifying": (at(PHASE.VERIFYING, 20, pod=source(), recording=OK), None),
    "verified": (at(PHASE.VERIFYING, 300, pod=source(), recording=OK), PHASE.ROLLED_BACK),
    "verified, not ready": (
        at(PHASE.VERIFYING, 300, pod=source(ready=False), recording=OK),
        None,
    ),
    "verified, template behind": (
        at(
            PHASE.VERIFYING,
            300,
            pod=source(),
            recording=OK,
            stateful_set=stateful_set(TARGET),
        ),
        None,
    ),
    "verifying, breach": (at(PHASE.VERIFYING, 300, pod=source(), recording=BREACH), PHASE.HALTED),
    "verifying, quiet": (
        at(PHASE.VERIFYING, 300, pod=source(), recording=QUIET),
        PHASE.ROLLED_BACK,
    ),
    "verifying, quiet and silent": (
        at(PHASE.VERIFYING, 300, pod=source(), recording=Samples("quiet and silent").recording()),
        PHASE.HALTED,
    ),
    "verifying, blind": (at(PHASE.VERIFYING, 300, pod=source(), recording=OUTAGE), None),
    "verifying, late": (at(PHASE.VERIFYING, 601, pod=source(), recording=OUTAGE), PHASE.HALTED),
    "verifying, aborted": (
        at(PHASE.VERIFYING, 20, pod=source(), recording=OK, spec={"abort": True}),
        None,
    ),
}


@pytest.mark.parametrize(("observed", "to"), TABLE.values(), ids=TABLE)
def test_where_it_goes(observed: CutoverObserved, to: CutoverPhase | RollbackStep | None) -> None:
    step = decide(observed)
    before = observed.cutover.status
    if to is None:
        assert isinstance(step, Wait | WriteStatus)
        if isinstance(step, WriteStatus):
            after = written(step)
            assert after.phase is before.phase
            assert (after.rollback and after.rollback.step) == (
                before.rollback and before.rollback.step
            )
            assert after.message
    else:
        after = written(step)
        assert to in (after.phase, after.rollback and after.rollback.step)
        assert (after.phases[-1].phase, after.phases[-1].at) == (after.phase, timestamp(NOW)) or (
            isinstance(to, RollbackStep)
        )


@pytest.mark.parametrize(("observed", "to"), TABLE.values(), ids=TABLE)
def test_what_was_said_is_not_written_again(
    observed: CutoverObserved, to: CutoverPhase | RollbackStep | None
) -> None:
    step = decide(observed)
    if to is not None or not isinstance(step, WriteStatus):
        return
    told = observed.cutover.model_copy(update={"status": written(step)})
    again = decide(replace(observed, cutover=told))
    assert isinstance(again, Wait), again
    assert again.seconds is not None
    assert again.seconds <= 15


@pytest.mark.parametrize(("observed", "to"), TABLE.values(), ids=TABLE)
def test_conditions_are_kstatus(
    observed: CutoverObserved, to: CutoverPhase | RollbackStep | None
) -> None:
    step = decide(observed)
    if not isinstance(step, WriteStatus):
        return
    after = written(step)
    moving, stalled = (
        find_condition(after.conditions, kind) for kind in ("Reconciling", "Stalled")
    )
    assert not (moving and stalled)
    assert is_true(after.conditions, "Ready") is (after.phase is PHASE.SUCCEEDED)
    assert (moving is not None) is not final(after)
    assert (stalled is not None) is (after.phase in (PHASE.HALTED, PHASE.FAILED))
    assert (after.finished_at is not None) is final(after)


def test_pending_waits_to_be_claimed_then_fixes_the_move_then_stores_the_configuration() -> None:
    waiting = decide(at(PHASE.PENDING, runner=FREE))
    assert "free" in written(waiting).message
    fixed = decide(at(PHASE.PENDING, target_config=None))
    after = written(fixed)
    assert (after.phase, after.source, after.target) == (PHASE.PENDING, SOURCE, TARGET)
    again = replace(
        at(PHASE.PENDING, target_config=None),
        cutover=cutover(after),
    )
    stored = decide(again)
    assert isinstance(stored, Apply)
    assert stored.manifest["metadata"]["name"] == TARGET.config_map
    assert written(decide(replace(again, target_config={}))).phase is PHASE.PREFLIGHT


def test_pending_fails_with_the_remedy_when_the_configuration_cannot_be_rendered() -> None:
    spec = {"release": {"image": "registry.test/runner:1.1.0", "config": "settings"}}
    after = written(decide(at(PHASE.PENDING, spec=spec)))
    assert after.phase is PHASE.FAILED
    assert "create it" in after.message


def test_a_release_that_is_active_is_refused() -> None:
    observed = at(PHASE.PREFLIGHT, pod=source(), recording=OK)
    same = observed.cutover.status.model_copy(update={"target": SOURCE})
    after = written(decide(replace(observed, cutover=cutover(same))))
    assert (after.phase, after.conditions[0].reason) == (PHASE.FAILED, "NothingToDo")


def test_the_verdict_is_persisted_with_the_decision() -> None:
    after = written(decide(at(PHASE.BAKING, 600, pod=pod(), recording=BREACH)))
    assert after.verdict is not None
    assert (after.verdict.verdict, after.verdict.guardrail) == (VerdictKind.BREACH, "errorRate")
    assert after.rollback is not None
    assert (after.rollback.step, after.rollback.reason) == (STEP.HALTING, "ErrorRateAboveLimit")


def test_a_bake_is_checkpointed_only_now_and_then() -> None:
    observed = at(PHASE.BAKING, 100, pod=pod(), recording=OK)
    first = written(decide(observed))
    assert first.bake is not None
    assert first.bake.verified_seconds == 90
    told = replace(observed, cutover=observed.cutover.model_copy(update={"status": first}))
    assert isinstance(decide(told), Wait)


def test_while_prometheus_is_down_the_verdict_is_unknown_and_said() -> None:
    after = written(decide(at(PHASE.BAKING, 600, pod=pod(), recording=OUTAGE)))
    assert after.verdict is not None
    assert after.verdict.verdict is VerdictKind.UNKNOWN
    moving = find_condition(after.conditions, "Reconciling")
    assert moving is not None
    assert moving.reason == "PrometheusDown"


def test_evidence_is_asked_for_until_it_is_filed() -> None:
    assert decide(back(STEP.COLLECTING_EVIDENCE)) == FileReport(ref=decide_ref(), final=False)


@pytest.mark.parametrize(
    ("age", "process", "asked"),
    [(1, TRADING, False), (3, TRADING, True), (1, None, True), (11, None, False)],
)
def test_evidence_is_collected_during_a_halt_that_lasts_or_that_nobody_answers(
    age: float, process: ProcessView | None, asked: bool
) -> None:
    step = decide(back(STEP.HALTING, age, pod=pod(), process=process))
    assert (step == FileReport(ref=decide_ref(), final=False)) is asked
    filed = back(STEP.HALTING, age, pod=pod(), process=process, report="evidence")
    after = written(decide(filed))
    assert after.report is not None
    assert after.rollback is not None
    assert (after.report.captured_at, after.rollback.step) == (timestamp(NOW), STEP.HALTING)
    drained = replace(filed, cutover=cutover(after), process=DRAINED, now=NOW + 30)
    onwards = written(decide(drained))
    assert onwards.rollback is not None
    assert (onwards.rollback.step, onwards.report) == (STEP.COLLECTING_EVIDENCE, after.report)
    last = written(decide(replace(drained, cutover=cutover(onwards), now=NOW + 40)))
    assert last.rollback is not None
    assert (last.rollback.step, last.report) == (STEP.STOPPING, after.report)


def decide_ref() -> Any:
    step = decide(back(STEP.STOPPING))
    assert isinstance(step, WriteStatus)
    return step.ref


@pytest.mark.parametrize("phase", [PHASE.ROLLED_BACK, PHASE.HALTED])
def test_the_outcome_is_reported_once(phase: CutoverPhase) -> None:
    assert decide(at(phase, report="evidence")) == FileReport(decide_ref(), final=True)
    after = written(decide(at(phase, report="final")))
    assert after.report is not None
    told = at(phase, report="final", filed=ReportRecord(config_map="x", captured_at="x"))
    assert isinstance(decide(told), Wait)


@pytest.mark.parametrize("phase", [PHASE.SUCCEEDED, PHASE.FAILED])
def test_an_end_is_an_end(phase: CutoverPhase) -> None:
    assert decide(at(phase, recording=BREACH, spec={"abort": True})) == Wait("ended")


def test_an_image_that_changed_under_its_tag_is_not_the_release_of_before() -> None:
    assert SOURCE is not None
    observed = at(PHASE.VERIFYING, 300, pod=source(), recording=OK)
    known = SOURCE.model_copy(update={"image_id": "sha256:0"})
    changed = observed.cutover.status.model_copy(update={"source": known})
    after = written(decide(replace(observed, cutover=cutover(changed))))
    assert (after.phase, after.conditions[0].reason) == (PHASE.HALTED, "ImageChanged")


def test_the_image_that_trades_is_recorded_before_it_is_touched() -> None:
    after = written(decide(at(PHASE.PREFLIGHT, pod=source(), recording=OK)))
    assert after.source is not None
    assert after.source.image_id == "sha256:1"


def test_a_pause_starts_the_clocks_anew() -> None:
    paused = written(decide(at(PHASE.BAKING, 600, runner=SUSPENDED)))
    moving = find_condition(paused.conditions, "Reconciling")
    assert moving is not None
    assert moving.reason == "Paused"
    on = written(decide(seen(cutover(paused), pod=pod(), recording=BREACH)))
    assert on.phase is PHASE.BAKING
    assert on.bake is not None
    assert on.bake.started_at == timestamp(NOW)


def limited() -> dict[str, CutoverObserved]:
    """What goes on in each place of the table that has a limit, and never gets any further."""
    return {
        "halting": at(PHASE.HALTING, pod=source(), process=TRADING),
        "backing up": at(PHASE.BACKING_UP),
        "switching": at(PHASE.SWITCHING, pod=pod(ready=False)),
        "halting the target": back(STEP.HALTING, pod=pod(), process=TRADING, report="evidence"),
        "collecting": back(STEP.COLLECTING_EVIDENCE),
        "stopping": back(STEP.STOPPING, pod=pod()),
        "starting": back(STEP.STARTING),
        "verifying": at(PHASE.VERIFYING, pod=source(), recording=OUTAGE),
    }


@pytest.mark.parametrize("observed", limited().values(), ids=limited())
def test_a_phase_ends_when_the_table_says_and_not_before(observed: CutoverObserved) -> None:
    end = expected_end(observed.cutover)
    assert end is not None
    place = _place(observed.cutover.status)
    for late, over in ((-0.5, False), (0.5, True)):
        step = decide(replace(observed, now=end + late))
        after = written(step) if isinstance(step, WriteStatus) else observed.cutover.status
        assert (_place(after) != place) is over


def _place(status: ReleaseCutoverStatus) -> tuple[CutoverPhase | None, RollbackStep | None]:
    return status.phase, status.rollback.step if status.rollback else None


def test_every_limit_of_the_table_is_tried() -> None:
    tried = {_place(observed.cutover.status) for observed in limited().values()}
    known = {place for place, means in PLACES.items() if means.expected_within}
    assert {(p, s if p is PHASE.ROLLING_BACK else None) for p, s in tried} == known


def test_only_phases_that_judge_ask_for_samples() -> None:
    asking = {phase for phase in CutoverPhase if needs_recording(cutover(status(phase)))}
    before = {PHASE.PREFLIGHT, PHASE.AWAITING_APPROVAL}
    assert asking == {*before, PHASE.BAKING, PHASE.VERIFYING}
