"""What a person does with a state directory: look, restore, export."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.runner.credentials_fixtures import pair, write
from tests.support.runner.order_books import opened, script
from tests.support.runner.prepared_state import content, go_on, lived, run, steps_of
from tests.support.runner.runner_fixtures import Crash, crash_at
from tradepulse_runner.cli.main import main
from tradepulse_runner.errors import StateError
from tradepulse_runner.files.frames import frame
from tradepulse_runner.files.lock import locked
from tradepulse_runner.files.snapshot import no_fault
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.oms.epoch import claim_epoch
from tradepulse_runner.oms.journal import MAGIC, list_segments
from tradepulse_runner.state.backup import Backups, require_whole
from tradepulse_runner.state.directory import export, inspect, restore


def cli(*words: str) -> Result:
    return CliRunner().invoke(main, ["state", *words])


def snapshots(path: Path) -> list[Path]:
    return list(path.glob("paper_oms.json*"))


def bring_back(path: Path, step: Callable[[str], None] = no_fault) -> dict[str, Any]:
    return restore(path, "b", clock=time.time, step=step)


async def two_times(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """A state directory with the backup "b"; its files then, and its files now."""
    await lived(path)
    run(path, backup="b")
    before = content(path)
    await go_on(path)
    return before, content(path)


# -- restore ---------------------------------------------------------------------------------


async def test_restored_as_often_as_asked_and_what_was_there_is_kept(tmp_path: Path) -> None:
    before, after = await two_times(tmp_path)
    run(tmp_path, restore="b")  # an init container did it once
    await go_on(tmp_path)
    for number in range(3):
        replaced = content(tmp_path)
        found = cli("restore", "--backup", "b", "--state-dir", str(tmp_path))
        assert found.exit_code == 0, found.output
        assert content(tmp_path) == before
        kept = json.loads(found.output)["kept"]
        assert content(tmp_path / "backups" / kept) == replaced
        assert len([key for key in Backups(tmp_path, clock=time.time).ids()]) == number + 2
        await go_on(tmp_path)
    assert before != after


async def test_the_latch_and_the_epoch_stay_as_they_are(tmp_path: Path) -> None:
    await lived(tmp_path)
    epoch = claim_epoch(tmp_path, "ns/name").epoch
    run(tmp_path, backup="b")
    claim_epoch(tmp_path, "ns/name")
    KillSwitch(tmp_path, clock=time.time).engage("stop")
    bring_back(tmp_path)
    assert KillSwitch(tmp_path, clock=time.time).engaged
    assert claim_epoch(tmp_path, "ns/name").epoch == epoch + 2


async def test_killed_at_every_step_and_repeated_by_hand_or_by_the_pod(tmp_path: Path) -> None:
    async def fresh(name: str) -> tuple[Path, dict[str, str], dict[str, str]]:
        path = tmp_path / name
        await lived(path)
        run(path, backup="b")
        before = content(path)
        run(path, restore="b")
        await go_on(path)
        return path, before, content(path)

    reference, _, _ = await fresh("reference")
    total = steps_of(lambda hook: bring_back(reference, hook))
    assert total > 15
    for step in range(1, total + 1):
        path, before, after = await fresh(str(step))
        with pytest.raises(Crash):
            bring_back(path, crash_at(step))
        if content(path) not in (before, after):
            with pytest.raises(StateError, match="interrupted"):
                require_whole(path)
            run(path, restore="b")  # the pod's init container says the same as its remedy
            assert content(path) == before
        bring_back(path)
        require_whole(path)
        assert content(path) == before, step
        kept = [content(found) for found in (path / "backups").glob("before-b-*")]
        assert after in kept, step


async def test_refused_before_anything_changes(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    await two_times(state_dir)
    now = content(state_dir)
    victim = next((state_dir / "backups" / "b").glob("paper_journal.*"))

    def refused(key: str, *words: str) -> None:
        found = cli("restore", "--backup", key, "--state-dir", str(state_dir))
        assert found.exit_code == 1
        assert all(word in found.output for word in (*words, "remedy")), found.output
        assert content(state_dir) == now

    with locked(state_dir):
        refused("b", "another process works on this state directory")
    refused("none", "not a backup", "'b'")
    refused("../backups/b", "not usable")
    victim.write_bytes(b"x" + victim.read_bytes())
    refused("b", "missing or damaged", victim.name)


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    typo = tmp_path / "typo"
    assert cli("restore", "--backup", "b", "--state-dir", str(typo)).exit_code == 1
    assert not typo.exists()


async def test_a_state_that_can_not_be_read_is_kept_as_it_is(tmp_path: Path) -> None:
    before, _ = await two_times(tmp_path)
    for path in snapshots(tmp_path):
        path.write_bytes(b"\0" * 100)
    spoiled = content(tmp_path)
    shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]
    assert "state restore --backup" in shown["error"]
    kept = bring_back(tmp_path)["kept"]
    assert content(tmp_path / "backups" / kept) == spoiled
    assert content(tmp_path) == before
    assert "error" not in inspect(tmp_path, clock=time.time)["venues"]["paper"]


# -- inspect ---------------------------------------------------------------------------------


async def test_inspect_replays_the_journal_and_changes_nothing(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    wanted = oms.state
    for _ in range(2):  # beside a runner, and after it
        before = content(tmp_path)
        shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]
        assert content(tmp_path) == before
        assert shown["positions"] == {s: str(q) for s, q in wanted.positions.items()}
        assert shown["live_orders"] == sorted(wanted.live)
        assert shown["cash"] == str(wanted.cash)
        oms.close()


async def test_a_journal_without_a_snapshot_is_read(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    oms.close()
    for path in snapshots(tmp_path):
        path.unlink()
    shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]
    assert shown["generation"] == 0
    assert shown["journal"]["replayed"] + shown["journal"]["missing"] == shown["journal_seq"]


async def test_torn_and_damaged_journals_are_distinguished(tmp_path: Path) -> None:
    oms = opened(tmp_path)
    await script(oms)
    oms.close()
    path = list_segments(tmp_path, "paper")[-1]
    path.write_bytes(path.read_bytes() + b"\0" * 7)
    shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]["journal"]
    assert (shown["torn_bytes"], shown["damaged"]) == (7, [])
    path.write_bytes(path.read_bytes() + frame(9_999, b'{"t": "cursor", "cursor": "x"}'))
    shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]["journal"]
    assert shown["damaged"] == [path.name]


def test_a_record_of_another_release_is_named(tmp_path: Path) -> None:
    path = tmp_path / "paper_journal.00000001"
    path.write_bytes(MAGIC + frame(1, b'{"t": "from the future"}'))
    shown = inspect(tmp_path, clock=time.time)["venues"]["paper"]
    assert "record 1" in shown["error"]
    assert "remedy" in shown["error"]


# -- export ----------------------------------------------------------------------------------


async def test_an_export_holds_what_a_ticket_needs_and_no_secret(tmp_path: Path) -> None:
    await two_times(tmp_path)
    write(tmp_path / "credentials" / "paper", pair(1))
    claim_epoch(tmp_path, "ns/name")
    target = tmp_path / "ticket.json"
    assert cli("export", "--state-dir", str(tmp_path), "--output", str(target)).exit_code == 0
    found = json.loads(target.read_text())
    assert found["problems"] == []
    assert found["epoch"] == 1
    assert found["orders"]["paper"]
    assert {file["name"]: file["sha256"] for file in found["files"]} == content(tmp_path)
    assert not [half for half in pair(1) if half in target.read_text()]
    (tmp_path / "paper_oms.json").write_bytes(b"{}")
    assert export(tmp_path, clock=time.time)["problems"]


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    target = tmp_path / "ticket.json"
    target.write_text("mine")
    found = cli("export", "--state-dir", str(tmp_path), "--output", str(target))
    assert found.exit_code == 1
    assert "remedy" in found.output
    assert target.read_text() == "mine"


def test_an_empty_state_can_be_looked_at(tmp_path: Path) -> None:
    found = cli("export", "--state-dir", str(tmp_path))
    assert json.loads(found.output)["venues"] == {}
    assert list(tmp_path.iterdir()) == []
