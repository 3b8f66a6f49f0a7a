"""What the runner says of a restore, and what the operator makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator.cutovers import PHASE, SOURCE, UID, cutover, pod, rollback, seen, status
from tradepulse_operator.api.cutover_status import BackupRecord, RollbackStep
from tradepulse_operator.controllers.cutover.phases.restored import unrestored
from tradepulse_runner.state.backup import FOLDER
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
