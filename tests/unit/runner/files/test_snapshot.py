"""Snapshots: after a crash at any step, the old or the new content; never neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradepulse_runner.errors import DurabilityLost, SchemaTooNew, SnapshotDamaged
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile, Step, canonical, read_snapshot

STEPS = ("open", "write", "fsync", "rotate", "rename", "fsync-dir")


class Killed(BaseException):
    """The process died here."""


def killer(wanted: str) -> Step:
    def step(name: str) -> None:
        if name == wanted:
            raise Killed(name)

    return step


def saved(path: Path, *values: int) -> SnapshotFile:
    file = SnapshotFile(path, ORDER_BOOK)
    for value in values:
        file.save({"value": value})
    return file


def test_the_steps_that_are_crashed_at_are_all_there_are(tmp_path: Path) -> None:
    seen: list[str] = []
    file = SnapshotFile(tmp_path / "x.json", ORDER_BOOK, step=seen.append)
    file.save({})
    file.save({})
    assert set(seen) == set(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, step: str) -> None:
    path = tmp_path / "x.json"
    saved(path, 1, 2)
    file = SnapshotFile(path, ORDER_BOOK, step=killer(step))
    file.load()
    with pytest.raises(Killed):
        file.save({"value": 3})
    after = SnapshotFile(path, ORDER_BOOK)
    found = after.load()
    assert found is not None
    assert found.payload["value"] == (3 if step == "fsync-dir" else 2)
    assert after.damaged == []
    # And the next save goes through, two generations again.
    assert after.save({"value": 4}).generation == found.generation + 1
    assert read_snapshot(after.previous, ORDER_BOOK).payload["value"] == found.payload["value"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, b"{}", b'{"schema": 1'])
def test_one_damaged_generation_falls_back_to_the_other(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "x.json"
    saved(path, 1, 2)
    path.write_bytes(damage)
    file = SnapshotFile(path, ORDER_BOOK)
    found = file.load()
    assert found is not None
    assert found.payload == {"value": 1}
    assert file.damaged == [path]
    # The damaged file must not be rotated over the last good one.
    file.save({"value": 3})
    assert read_snapshot(file.previous, ORDER_BOOK).payload == {"value": 1}


def test_every_generation_damaged_is_an_error_with_a_remedy_not_an_empty_state(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.json"
    file = saved(path, 1, 2)
    path.write_bytes(b"")
    file.previous.write_bytes(b"\0")
    with pytest.raises(SnapshotDamaged, match="remedy"):
        SnapshotFile(path, ORDER_BOOK).load()


def test_a_changed_payload_does_not_pass_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    saved(path, 7)
    path.write_bytes(path.read_bytes().replace(b'"value":7', b'"value":8'))
    with pytest.raises(SnapshotDamaged, match="checksum"):
        read_snapshot(path, ORDER_BOOK)


def test_a_newer_schema_is_refused_even_when_the_older_generation_could_be_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.json"
    saved(path, 1, 2)
    body = {"schema": ORDER_BOOK.number + 1, "generation": 3, "sha256": "", "payload": {}}
    path.write_bytes(canonical(body))
    with pytest.raises(SchemaTooNew, match="remedy"):
        SnapshotFile(path, ORDER_BOOK).load()


def test_a_full_disk_is_durability_lost(tmp_path: Path) -> None:
    def full(name: str) -> None:
        if name == "write":
            raise OSError(28, "No space left on device")

    path = tmp_path / "x.json"
    saved(path, 1)
    file = SnapshotFile(path, ORDER_BOOK, step=full)
    file.load()
    with pytest.raises(DurabilityLost):
        file.save({"value": 2})
    assert read_snapshot(path, ORDER_BOOK).payload == {"value": 1}
