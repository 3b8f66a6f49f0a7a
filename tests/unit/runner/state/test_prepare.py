"""Prepare, on the state of real trading: killed at any step and asked again, it ends whole."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.runner.order_books import opened
from tests.support.runner.prepared_state import content, go_on, lived, run, steps_of
from tests.support.runner.runner_fixtures import Crash, crash_at
from tradepulse_runner.errors import StateError
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.oms.epoch import claim_epoch
from tradepulse_runner.state.backup import checksum, require_whole, state_files
from tradepulse_runner.state.directory import inspect, problems


async def test_backup_killed_at_every_step_is_whole_after_the_next_run(tmp_path: Path) -> None:
    async def fresh(name: str) -> Path:
        await lived(tmp_path / name)
        return tmp_path / name

    reference = await fresh("reference")
    total = steps_of(lambda hook: run(reference, hook, backup="b"))
    assert total > 10
    for step in range(1, total + 1):
        path = await fresh(str(step))
        with pytest.raises(Crash):
            run(path, crash_at(step), backup="b")
        result = run(path, backup="b")
        assert result["ok"]
        saved = {f.name: checksum(f) for f in state_files(path / "backups" / "b")}
        assert saved == content(path)
        assert problems(path, clock=time.time) == []


async def test_restore_killed_at_every_step_is_whole_after_the_next_run(tmp_path: Path) -> None:
    async def fresh(name: str) -> tuple[Path, dict[str, str], dict[str, str]]:
        path = tmp_path / name
        await lived(path)
        run(path, backup="b")
        before = content(path)
        await go_on(path)
        return path, before, content(path)

    reference, _, _ = await fresh("reference")
    total = steps_of(lambda hook: run(reference, hook, restore="b"))
    assert total > 15
    for step in range(1, total + 1):
        path, before, after = await fresh(str(step))
        with pytest.raises(Crash):
            run(path, crash_at(step), restore="b")
        now = content(path)
        if now not in (before, after):
            # Files of two times: nothing may trade on them.
            with pytest.raises(StateError, match="interrupted"):
                require_whole(path)
        run(path, restore="b")
        require_whole(path)
        assert content(path) == before, step
        replaced = path / "backups" / "b-replaced"
        assert {f.name: checksum(f) for f in state_files(replaced)} == after, step


async def test_restore_leaves_the_world_the_epoch_and_the_latch_alone(tmp_path: Path) -> None:
    await lived(tmp_path)
    claim_epoch(tmp_path, "ns/name")
    run(tmp_path, backup="b")
    await go_on(tmp_path)
    last = claim_epoch(tmp_path, "ns/name").epoch
    KillSwitch(tmp_path, clock=time.time).engage("while the bad release ran")
    run(tmp_path, restore="b")
    assert claim_epoch(tmp_path, "ns/name").epoch == last + 1
    assert KillSwitch(tmp_path, clock=time.time).engaged
    assert (tmp_path / "paper" / "paper.sqlite").read_bytes() == b"the venue moved on"
    oms = opened(tmp_path)
    assert set(oms.state.positions.values()) == {Decimal("1.25")}
    oms.close()


async def test_inspect_and_verify_tell_what_is_there(tmp_path: Path) -> None:
    await lived(tmp_path)
    run(tmp_path, backup="b")
    found = inspect(tmp_path, clock=time.time)
    json.dumps(found)
    assert found["backups"] == ["b"]
    assert found["venues"]["paper"]["generation"] == 2
    (tmp_path / "paper_oms.json").write_bytes(b"{}")
    assert any("paper_oms.json" in line for line in problems(tmp_path, clock=time.time))
