"""What the runner says of a restore, and what the operator makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator.cutovers import (
    PHASE,
    SOURCE,
    UID,
    cutover,
    pod,
    rollback,
    runner,
    seen,
    status,
)
from tradepulse_operator.api.cutover_status import BackupRecord, RollbackStep
from tradepulse_operator.controllers.cutover.phases.restored import proven, unrestored
from tradepulse_operator.controllers.runner.desired_run import desired_run
from tradepulse_operator.resources.desired_run import DesiredRun
from tradepulse_operator.resources.runner.pod_spec import pod_spec
from tradepulse_runner.state.backup import FOLDER, Expected
from tradepulse_runner.state.directory import Preparation, prepare


def judged(said: object, backup: object) -> str:
    """The operator's word on a state container that said that."""
    record = BackupRecord.model_validate(backup)
    found = status(PHASE.ROLLING_BACK, backup=record, rollback=rollback(RollbackStep.STARTING))
    view = pod(SOURCE, init_message=json.dumps(said))
    return unrestored(seen(cutover(found), pod=view), view)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "paper_oms.json").write_text("a book")
    return tmp_path


def go(folder: Path, **wanted: Any) -> dict[str, object]:
    return prepare(folder, Preparation(**wanted), clock=lambda: 1.0)


def test_the_backup_that_was_made_is_the_one_that_is_restored(state: Path) -> None:
    made = go(state, backup=UID)["backup"]
    (state / "paper_oms.json").write_text("what the new release made of it")
    for _ in range(2):  # the second time it is restored already
        assert judged(go(state, restore=UID), made) == ""


def test_another_backup_of_that_name_is_found_out(state: Path) -> None:
    made = go(state, backup=UID)["backup"]
    (state / FOLDER / UID).rename(state / FOLDER / "elsewhere")
    (state / "paper_oms.json").write_text("another book")
    go(state, backup=UID)
    for _ in range(2):
        assert "it was" in judged(go(state, restore=UID), made)


def test_a_backup_that_is_gone_is_found_out(state: Path) -> None:
    made = go(state, backup=UID)["backup"]
    (state / FOLDER / UID).rename(state / FOLDER / "elsewhere")
    assert "no longer on the state volume" in judged(go(state, restore=UID), made)


NONCE = "0f" * 16


def restored(state: Path, sha256: str, nonce: str = NONCE) -> dict[str, object]:
    return go(state, restore=UID, expected=Expected(sha256, nonce))


def back_again(said: object, backup: object, nonce: str) -> tuple[str, str]:
    """The operator's word on the state container, and the reason of the condition."""
    record = BackupRecord.model_validate(backup)
    step = rollback(RollbackStep.STARTING).model_copy(update={"nonce": nonce})
    view = pod(SOURCE, init_message=json.dumps(said))
    found = seen(cutover(status(PHASE.ROLLING_BACK, backup=record, rollback=step)), pod=view)
    (told,) = proven(found, view).cutover.status.conditions[-1:]
    return unrestored(found, view), told.reason


def test_only_a_restore_with_this_rollbacks_nonce_is_proven(state: Path) -> None:
    made: Any = go(state, backup=UID)["backup"]
    (state / "paper_oms.json").write_text("what the new release made of it")
    mark = {"at": 1, "sha256": made["sha256"], "nonce": "guessed"}
    (state / FOLDER / UID / "restored.json").write_text(json.dumps(mark))
    assert back_again(restored(state, made["sha256"]), made, NONCE) == ("", "Proven")
    assert (state / "paper_oms.json").read_text() == "a book"
    # A release of before ignores what it isn't asked for by an argument.
    assert back_again(go(state, restore=UID), made, NONCE)[1] == "Unproven"
    wrong, _ = back_again(restored(state, made["sha256"], "another"), made, NONCE)
    assert "another rollback" in wrong
    # An operator of before took over meanwhile: its status has no field for the nonce.
    assert back_again(restored(state, made["sha256"]), made, "") == ("", "Unproven")


def test_a_refusal_ends_the_rollback_at_once(state: Path) -> None:
    made = go(state, backup=UID)["backup"]
    record = BackupRecord.model_validate(made)
    said = json.dumps({"ok": False, "refused": True, "error": "no such backup, but one was made"})
    view = pod(SOURCE, init_exit=1, init_message=said)
    found = status(PHASE.ROLLING_BACK, backup=record, rollback=rollback(RollbackStep.STARTING))
    assert unrestored(seen(cutover(found), pod=view), view) == "no such backup, but one was made"


def test_the_state_container_knows_what_to_expect_once_the_target_is_gone() -> None:
    target, source = status(PHASE.ROLLING_BACK).target, status(PHASE.ROLLING_BACK).source
    assert target
    assert source
    backup = BackupRecord(id=UID, sha256="a" * 64)

    def run(step: RollbackStep, nonce: str) -> DesiredRun:
        told = rollback(step).model_copy(update={"nonce": nonce})
        found = cutover(status(PHASE.ROLLING_BACK, backup=backup, rollback=told))
        return desired_run(runner(), source, found)

    stopping, starting = run(RollbackStep.STOPPING, ""), run(RollbackStep.STARTING, NONCE)
    assert (stopping.replicas, stopping.release.id) == (0, source.id)
    assert (starting.replicas, starting.prepare and starting.prepare.nonce) == (1, NONCE)
    (container,) = pod_spec(runner(), starting)["initContainers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert environment["TRADEPULSE_RESTORE_NONCE"] == NONCE
    assert environment["TRADEPULSE_RESTORE_SHA256"] == "a" * 64
    # Arguments stay those that every release knows.
    assert not any(argument.startswith(("--nonce", "--sha")) for argument in container["args"])
