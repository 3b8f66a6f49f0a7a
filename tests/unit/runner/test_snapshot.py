"""A crash at any step leaves the old or the new content, and damage is never believed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runner.kit import Crash, crash_at
from tradepulse_runner import snapshot
from tradepulse_runner.errors import DurabilityLost, SchemaTooNew, SnapshotDamaged
from tradepulse_runner.snapshot import SCHEMA, SnapshotFile, encode, make_dirs, read_snapshot

STEPS = 6  # open, write, fsync, rotate, rename, fsync-dir


@pytest.mark.parametrize("step", range(1, STEPS + 1))
@pytest.mark.parametrize("before", [1, 2, 3])
def test_crash_at_every_step_leaves_old_or_new(tmp_path: Path, step: int, before: int) -> None:
    path = tmp_path / "x.json"
    for generation in range(1, before + 1):
        SnapshotFile(path).load()
        file = SnapshotFile(path)
        file.load()
        file.save({"n": generation})
    file = SnapshotFile(path, step=crash_at(step))
    file.load()
    with pytest.raises(Crash):
        file.save({"n": before + 1})

    found = SnapshotFile(path).load()

    assert found is not None
    assert found.payload["n"] in (before, before + 1)
    assert found.generation == found.payload["n"]


def test_crash_of_the_very_first_save_leaves_nothing_or_it(tmp_path: Path) -> None:
    for step in range(1, STEPS):
        path = tmp_path / f"{step}.json"
        with pytest.raises(Crash):
            SnapshotFile(path, step=crash_at(step)).save({"n": 1})
        found = SnapshotFile(path).load()
        assert found is None or found.payload == {"n": 1}


def two_generations(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    file = SnapshotFile(path)
    file.save({"n": 1})
    file.save({"n": 2})
    return path


@given(data=st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("s") / "x.json"
    good, _ = encode({"n": 1, "money": "1.10"}, 3)
    at = data.draw(st.integers(0, len(good) - 2))
    flipped = good[at] ^ data.draw(st.integers(1, 255))
    path.write_bytes(good[:at] + bytes([flipped]) + good[at + 1 :])
    try:
        found = read_snapshot(path)
    except (SnapshotDamaged, SchemaTooNew):
        return
    # What still passes may differ in its envelope's number only, never in its content.
    assert found.payload == {"n": 1, "money": "1.10"}


@pytest.mark.parametrize("bad", [b"", b"\0" * 100, b"{", b"[]", b'{"schema": 1}'])
def test_damaged_current_falls_back_to_the_generation_before(tmp_path: Path, bad: bytes) -> None:
    path = two_generations(tmp_path)
    path.write_bytes(bad)
    file = SnapshotFile(path)
    found = file.load()
    assert found is not None
    assert found.payload == {"n": 1}
    assert file.damaged == [path]


def test_damaged_file_is_never_rotated_over_the_good_one(tmp_path: Path) -> None:
    path = two_generations(tmp_path)
    path.write_bytes(b"\0" * 10)
    file = SnapshotFile(path, step=crash_at(5))
    file.load()
    with pytest.raises(Crash):
        file.save({"n": 3})
    assert read_snapshot(file.previous).payload == {"n": 1}


def test_without_a_good_generation_it_refuses_and_says_what_to_do(tmp_path: Path) -> None:
    path = two_generations(tmp_path)
    path.write_bytes(b"")
    path.with_name("x.json.prev").write_bytes(b"")
    with pytest.raises(SnapshotDamaged, match=r"restore a backup.*cold_start"):
        SnapshotFile(path).load()


def test_newer_schema_is_refused_by_an_older_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    monkeypatch.setattr(snapshot, "SCHEMA", SCHEMA + 1)
    SnapshotFile(path).save({"n": 1})
    monkeypatch.undo()
    with pytest.raises(SchemaTooNew, match="start the newer release"):
        SnapshotFile(path).load()


def test_refused_fsync_is_durability_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    file = SnapshotFile(tmp_path / "x.json")
    file.save({"n": 1})
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DurabilityLost, match=r"x\.json"):
        file.save({"n": 2})
    monkeypatch.undo()
    found = SnapshotFile(tmp_path / "x.json").load()
    assert found is not None
    assert found.payload == {"n": 1}


def test_new_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    make_dirs(tmp_path / "a" / "b" / "c")
    make_dirs(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
