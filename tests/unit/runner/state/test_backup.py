"""Backups and restores: killed anywhere and repeated, they end as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.runner.runner_fixtures import Crash, crash_at
from tests.support.runner.state_files import order_state, tree, write
from tradepulse_runner.cli.main import main
from tradepulse_runner.errors import RunnerError, StateError
from tradepulse_runner.files import schema
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile, Step, canonical, no_fault
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.state.backup import RESTORING, ROOM_LEFT, Backups, require_whole
from tradepulse_runner.state.directory import Mode, Preparation, prepare, problems

BACKUP = Preparation(backup="uid-1")
RESTORE = Preparation(restore="uid-1")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of syncs prove nothing here: the crash is a killed process, not a power cut."""
    monkeypatch.setattr("os.fsync", lambda _fd: None)


def clock() -> float:
    return 7.0


def go(state_dir: Path, wanted: Preparation, step: Step = no_fault) -> dict[str, Any]:
    return prepare(state_dir, wanted, clock=clock, step=step)


def test_a_restore_brings_back_exactly_what_was_backed_up(tmp_path: Path) -> None:
    write(tmp_path, 1, 1, 2)
    before = order_state(tmp_path)
    made = go(tmp_path, BACKUP)["backup"]
    assert (made["files"], made["bytes"]) == (3, sum(map(len, before.values())))
    write(tmp_path, 2, 3, 4, 5)
    replaced = order_state(tmp_path)
    assert go(tmp_path, RESTORE)["restore"]["sha256"] == made["sha256"]
    assert order_state(tmp_path) == before
    kept = tree(tmp_path / "backups" / "uid-1-replaced")
    assert {name: kept[name] for name in replaced} == replaced


def scenario(folder: Path, wanted: Preparation) -> Path:
    """A directory in which ``wanted`` has everything to do."""
    write(folder, 1, 1, 2)
    if wanted.restore:
        go(folder, BACKUP)
        write(folder, 2, 2, 3, 4)
    else:
        for key in ("old-1", "old-2"):
            go(folder, Preparation(backup=key))
    return folder


@pytest.mark.parametrize(
    "wanted",
    [Preparation(backup="uid-1", keep=1), RESTORE, Preparation(restore="uid-1", mode=Mode.FREEZE)],
    ids=["backup", "restore", "freeze"],
)
def test_killed_at_every_step_and_repeated_it_ends_as_if_uninterrupted(
    tmp_path: Path, wanted: Preparation
) -> None:
    steps: list[str] = []
    undisturbed = scenario(tmp_path / "undisturbed", wanted)
    go(undisturbed, wanted, steps.append)
    for number in range(1, len(steps) + 1):
        struck = scenario(tmp_path / f"struck-{number}", wanted)
        with pytest.raises(Crash):
            go(struck, wanted, crash_at(number))
        assert go(struck, wanted)["ok"]
        assert tree(struck) == tree(undisturbed), f"killed at {number}, {steps[number - 1]}"
    assert len(steps) > 10 or wanted.mode is Mode.FREEZE


def test_a_restore_killed_twice_at_different_steps_still_ends_the_same(tmp_path: Path) -> None:
    steps: list[str] = []
    undisturbed = scenario(tmp_path / "undisturbed", RESTORE)
    go(undisturbed, RESTORE, steps.append)
    for first in range(1, len(steps) + 1, 5):
        for second in (2, 7, 11):
            struck = scenario(tmp_path / f"struck-{first}-{second}", RESTORE)
            with pytest.raises(Crash):
                go(struck, RESTORE, crash_at(first))
            try:
                go(struck, RESTORE, crash_at(second))
            except Crash:
                go(struck, RESTORE)
            assert tree(struck) == tree(undisturbed), (first, second)


def test_a_runner_never_starts_on_a_half_done_restore(tmp_path: Path) -> None:
    """While files are of two times, starting is refused; before and after, it is not."""
    steps: list[str] = []
    whole = scenario(tmp_path / "whole", RESTORE)
    old = order_state(whole)
    go(whole, RESTORE, steps.append)
    new = order_state(whole)
    refused = 0
    for number in range(1, len(steps) + 1):
        struck = scenario(tmp_path / f"struck-{number}", RESTORE)
        with pytest.raises(Crash):
            go(struck, RESTORE, crash_at(number))
        found = {n: d for n, d in order_state(struck).items() if not n.startswith(".")}
        if RESTORING in found:
            refused += 1
            with pytest.raises(StateError, match="state prepare --restore"):
                require_whole(struck)
        else:
            assert found in (old, new)
            require_whole(struck)
        go(struck, RESTORE)
        require_whole(struck)
    assert refused > 5


def test_a_manifest_tells_schema_and_generations(tmp_path: Path) -> None:
    write(tmp_path, 1, 1)
    file = SnapshotFile(tmp_path / "paper_oms.json", ORDER_BOOK)
    file.load()
    file.save({"value": 2})
    go(tmp_path, BACKUP)
    manifest = json.loads((tmp_path / "backups" / "uid-1" / "manifest.json").read_bytes())
    assert manifest["schema"] == schema.BACKUP.number
    assert manifest["generations"] == {"paper_oms.json": 2, "paper_oms.json.prev": 1}


def test_without_room_for_a_backup_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full volume is the fault under test: the journal must not be what runs out of room."""
    write(tmp_path, 1, 1)
    before = tree(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=ROOM_LEFT)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(StateError, match=r"are free; remedy: raise spec\.state\.size"):
        go(tmp_path, BACKUP)
    assert tree(tmp_path) == before
    monkeypatch.undo()
    assert go(tmp_path, BACKUP)["ok"]


def test_a_restore_happens_once(tmp_path: Path) -> None:
    write(tmp_path, 1)
    go(tmp_path, BACKUP)
    write(tmp_path, 2)
    go(tmp_path, RESTORE)
    write(tmp_path, 3, 9)
    later = order_state(tmp_path)
    assert "skipped" in go(tmp_path, RESTORE)["restore"]
    assert order_state(tmp_path) == later


def test_a_backup_is_made_once_and_of_the_first_moment(tmp_path: Path) -> None:
    write(tmp_path, 1)
    first = go(tmp_path, BACKUP)
    write(tmp_path, 2)
    assert go(tmp_path, BACKUP) == first


def test_without_a_backup_there_is_nothing_to_restore(tmp_path: Path) -> None:
    write(tmp_path, 1, 1)
    before = order_state(tmp_path)
    found = go(tmp_path, Preparation(restore="never-made"))
    assert found["ok"]
    assert "no such backup" in found["restore"]["skipped"]
    assert order_state(tmp_path) == before


def test_an_empty_state_makes_a_valid_backup(tmp_path: Path) -> None:
    assert go(tmp_path, BACKUP)["backup"]["files"] == 0
    write(tmp_path, 2, 1)
    go(tmp_path, RESTORE)
    assert order_state(tmp_path) == {}


def test_keep_keeps(tmp_path: Path) -> None:
    write(tmp_path, 1)
    go(tmp_path, BACKUP)
    write(tmp_path, 2)
    before = order_state(tmp_path)
    assert go(tmp_path, Preparation(restore="uid-1", mode=Mode.KEEP))["ok"]
    assert order_state(tmp_path) == before


def test_freeze_engages_once_and_a_persons_reset_stands(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = order_state(tmp_path)
    freeze = Preparation(restore="uid-1", mode=Mode.FREEZE)
    go(tmp_path, freeze)
    switch = KillSwitch(tmp_path, clock=clock)
    assert switch.engaged
    assert "uid-1" in switch.reason
    assert {n: d for n, d in order_state(tmp_path).items() if "kill" not in n} == before
    switch.reset(by="ada", reason="looked")
    assert "skipped" in go(tmp_path, freeze)["restore"]
    assert not KillSwitch(tmp_path, clock=clock).engaged


def test_a_restore_leaves_epoch_latch_and_the_world_alone(tmp_path: Path) -> None:
    """Ids would repeat, a latch would open, and the exchange does not travel in time."""
    write(tmp_path, 1)
    (tmp_path / "epoch.json").write_text("old epoch")
    go(tmp_path, BACKUP)
    (tmp_path / "epoch.json").write_text("new epoch")
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "paper.sqlite").write_text("the world")
    KillSwitch(tmp_path, clock=clock).engage("stop")
    write(tmp_path, 2)
    go(tmp_path, RESTORE)
    assert (tmp_path / "epoch.json").read_text() == "new epoch"
    assert (tmp_path / "paper" / "paper.sqlite").read_text() == "the world"
    assert KillSwitch(tmp_path, clock=clock).engaged
    copied = {path.name for path in (tmp_path / "backups" / "uid-1").iterdir()}
    assert copied == {"paper_oms.json", "manifest.json", "restored.json"}


@pytest.mark.parametrize("victim", ["paper_oms.json", "paper_journal.00000001", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_backup_is_refused_before_anything_changes(
    tmp_path: Path, victim: str, damage: str
) -> None:
    write(tmp_path, 1, 1)
    go(tmp_path, BACKUP)
    path = tmp_path / "backups" / "uid-1" / victim
    path.write_bytes(path.read_bytes()[:-3]) if damage == "cut" else path.unlink()
    write(tmp_path, 2, 2)
    before = tree(tmp_path)
    with pytest.raises(StateError, match="remedy"):
        go(tmp_path, RESTORE)
    with pytest.raises(StateError, match="remedy"):
        go(tmp_path, BACKUP)
    assert tree(tmp_path) == before


def test_a_backup_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    go(tmp_path, BACKUP)
    path = tmp_path / "backups" / "uid-1" / "manifest.json"
    path.write_bytes(canonical({**json.loads(path.read_bytes()), "schema": 99}))
    with pytest.raises(StateError, match="release that wrote it"):
        go(tmp_path, RESTORE)


@pytest.mark.parametrize("key", ["../uid-1", ".", "..", ".hidden", "a/b", ""])
def test_a_key_does_not_lead_out_of_the_backups(tmp_path: Path, key: str) -> None:
    state = tmp_path / "state"
    write(state, 1)
    before = tree(tmp_path)
    for wanted in (Preparation(backup=key), Preparation(restore=key)):
        if key:
            with pytest.raises(RunnerError, match="not usable"):
                go(state, wanted)
    assert tree(tmp_path) == before


def test_the_newest_backups_stay_and_the_one_just_made_always_does(tmp_path: Path) -> None:
    write(tmp_path, 1)
    now = iter(range(100, 200))
    for number in range(6):
        wanted = Preparation(backup=f"b{number}", keep=3)
        prepare(tmp_path, wanted, clock=lambda: float(next(now)))
    assert Backups(tmp_path, clock=clock).ids() == ["b5", "b4", "b3"]
    # A clock that went back makes the newest backup the oldest.
    prepare(tmp_path, Preparation(backup="early", keep=3), clock=lambda: 1.0)
    assert "early" in Backups(tmp_path, clock=clock).ids()


def test_the_incident_is_kept_without_the_kubelets_links(tmp_path: Path) -> None:
    report = tmp_path / "mounted"
    report.mkdir()
    (report / "report.json").write_text("{}")
    (report / "..data").mkdir()
    for _ in range(2):
        go(tmp_path / "state", Preparation(restore="uid-1", incident_dir=report))
    kept = tmp_path / "state" / "incidents" / "uid-1"
    assert [path.name for path in kept.iterdir()] == ["report.json"]
    gone = Preparation(restore="uid-1", incident_dir=tmp_path / "none")
    assert go(tmp_path / "state", gone)["ok"]


def test_the_command_tells_the_operator_in_one_json_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "termination"
    monkeypatch.setenv("TRADEPULSE_TERMINATION_LOG", str(told))
    state = tmp_path / "state"
    write(state, 1)
    command = ["state", "prepare", "--state-dir", str(state)]
    done = CliRunner().invoke(main, [*command, "--backup", "uid-1", "--restore", "other"])
    assert done.exit_code == 0
    answer = json.loads(told.read_text())
    assert answer == json.loads(done.stdout)
    assert answer["ok"]
    assert answer["backup"]["id"] == "uid-1"
    assert set(answer["backup"]) == {"id", "files", "bytes", "sha256"}
    (state / "backups" / "uid-1" / "paper_oms.json").unlink()
    assert problems(state, clock=clock)
    failed = CliRunner().invoke(main, [*command, "--backup", "uid-1"])
    assert failed.exit_code == 1
    answer = json.loads(told.read_text())
    assert answer["ok"] is False
    assert "remedy" in answer["error"]
