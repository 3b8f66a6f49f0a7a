"""The desired run in each phase: what the phase says, and never a restore by default."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator.cutovers import PHASE, SOURCE, TARGET, UID, cutover, rollback, status
from tests.support.operator.cutovers import runner as some_runner
from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStep
from tradepulse_operator.api.phases import TABLE
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.controllers.runner.desired_run import desired_run
from tradepulse_operator.resources.desired_run import DesiredRun, Prepare

STEP = RollbackStep
assert SOURCE is not None
assert TARGET is not None
FROM, TO = SOURCE, TARGET
RUNNER = some_runner()
BACKUP = Prepare(image=FROM.image, backup=UID)
RESTORE = Prepare(image=FROM.image, restore=UID, mode=StateOnRollback.RESTORE)
UNTOUCHED = DesiredRun(FROM, replace=True)
ON = DesiredRun(TO, prepare=BACKUP, replace=True)
STOPS = DesiredRun(TO, halt=f"halt {UID} rollback", prepare=BACKUP)
BACK = DesiredRun(FROM, prepare=RESTORE, replace=True)
# Before the nonce is written, nothing of the previous release may start.
GONE = DesiredRun(FROM, replicas=0, prepare=RESTORE, replace=True)
DEAD = DesiredRun(FROM, kill_switch="cutover move halted", prepare=RESTORE, replace=True)

EXPECTED: dict[tuple[CutoverPhase, RollbackStep | None], DesiredRun] = {
    (PHASE.PENDING, None): UNTOUCHED,
    (PHASE.PREFLIGHT, None): UNTOUCHED,
    (PHASE.AWAITING_APPROVAL, None): UNTOUCHED,
    (PHASE.HALTING, None): DesiredRun(FROM, halt=f"halt {UID} cutover"),
    (PHASE.BACKING_UP, None): ON,
    (PHASE.SWITCHING, None): ON,
    (PHASE.BAKING, None): ON,
    (PHASE.SUCCEEDED, None): ON,
    (PHASE.ROLLING_BACK, STEP.HALTING): STOPS,
    (PHASE.ROLLING_BACK, STEP.COLLECTING_EVIDENCE): STOPS,
    (PHASE.ROLLING_BACK, STEP.STOPPING): GONE,
    (PHASE.ROLLING_BACK, STEP.STARTING): BACK,
    (PHASE.VERIFYING, None): BACK,
    (PHASE.ROLLED_BACK, None): BACK,
    **{(PHASE.HALTED, step): DEAD for step in RollbackStep},
    (PHASE.FAILED, None): UNTOUCHED,
}


@pytest.mark.parametrize(("place", "wanted"), EXPECTED.items(), ids=map(str, EXPECTED))
def test_what_runs(place: tuple[CutoverPhase, RollbackStep | None], wanted: DesiredRun) -> None:
    phase, step = place
    held: dict[str, Any] = {"rollback": rollback(step)} if step else {}
    moving = cutover(status(phase, source=FROM, target=TO, **held))
    assert desired_run(RUNNER, FROM, moving) == wanted


def test_every_place_is_tried() -> None:
    assert EXPECTED.keys() == TABLE.keys()


def test_a_rollback_without_a_step_starts_nothing() -> None:
    moving = cutover(status(PHASE.ROLLING_BACK, source=FROM, target=TO))
    assert desired_run(RUNNER, FROM, moving) == STOPS
