"""The journal after every kind of damage: what was written before it is still there."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_runner.errors import DurabilityLost, SchemaTooNew
from tradepulse_runner.files.frames import frame
from tradepulse_runner.oms.journal import MAGIC, Journal, scan

RECORDS = [{"t": "status", "id": f"o{n}", "reason": "é" * n} for n in range(4)]


def segment(first: int = 1, records: list[dict[str, str]] = RECORDS) -> bytes:
    return MAGIC + b"".join(
        frame(first + n, json.dumps(record).encode()) for n, record in enumerate(records)
    )


def ends() -> list[int]:
    """Where each record of :func:`segment` ends."""
    return [len(segment(records=RECORDS[:n])) for n in range(len(RECORDS) + 1)]


def recovered(directory: Path, after: int = 0) -> tuple[Journal, list[int], list[Path], int]:
    (directory / "evidence").mkdir(exist_ok=True)
    journal = Journal(directory, "paper")
    found = journal.recover(directory / "evidence", after=after)
    return journal, [seq for seq, _ in found.records], found.quarantined, found.missing


@pytest.mark.parametrize("cut", range(len(segment()) + 1))
def test_a_tail_cut_at_any_byte_costs_only_the_torn_record(cut: int) -> None:
    found = scan(segment()[:cut])
    whole = sum(1 for end in ends()[1:] if end <= cut)
    assert [record for _, record in found.records] == RECORDS[:whole]
    assert not found.damaged
    assert found.good_bytes + found.torn_bytes == cut


@given(st.integers(0, len(segment()) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_yields_a_wrong_record(position: int, flip: int) -> None:
    data = bytearray(segment())
    data[position] ^= flip
    try:
        found = scan(bytes(data))
    except SchemaTooNew:
        assert position == 3
        return
    kept = [record for _, record in found.records]
    assert kept == RECORDS[: len(kept)]
    assert len(kept) < len(RECORDS)
    # Good records follow the bad byte unless it is in the last one: then it looks torn.
    assert found.damaged == (position < ends()[-2])


def test_damage_in_the_middle_is_kept_as_evidence_and_the_good_part_is_used(tmp_path: Path) -> None:
    data = bytearray(segment())
    data[ends()[1] + 20] ^= 1
    path = tmp_path / "paper_journal.00000001"
    path.write_bytes(data)
    journal, seqs, quarantined, _ = recovered(tmp_path)
    assert seqs == [1]
    assert quarantined == [tmp_path / "evidence" / path.name]
    assert quarantined[0].read_bytes() == bytes(data)
    assert not path.exists()
    journal.close()


def test_a_torn_tail_is_no_gap_for_the_segments_that_follow(tmp_path: Path) -> None:
    (tmp_path / "paper_journal.00000001").write_bytes(segment()[: ends()[2] + 5])
    journal, seqs, _, missing = recovered(tmp_path)
    assert (seqs, missing) == ([1, 2], 0)
    journal.append({"t": "cursor", "cursor": "1"})
    journal.close()
    journal, seqs, quarantined, missing = recovered(tmp_path)
    assert (seqs, quarantined, missing) == ([1, 2, 3], [], 0)
    journal.close()


def test_records_missing_between_segments_are_counted(tmp_path: Path) -> None:
    (tmp_path / "paper_journal.00000001").write_bytes(segment())
    (tmp_path / "paper_journal.00000002").write_bytes(segment(first=8))
    journal, seqs, _, missing = recovered(tmp_path)
    assert seqs == [1, 2, 3, 4, 8, 9, 10, 11]
    assert missing == 3
    journal.close()


def test_a_newer_schema_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "paper_journal.00000001"
    path.write_bytes(b"TPJ" + bytes([MAGIC[3] + 1]) + segment()[4:])
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(SchemaTooNew, match="remedy"):
        Journal(tmp_path, "paper").recover(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


async def test_rotation_leaves_no_record_unsynced_in_the_segment_it_closes(tmp_path: Path) -> None:
    """A record that is appended while the old segment is being synced must be synced too."""
    sizes: list[tuple[int, int]] = []
    appended = False

    def fsync(fd: int) -> None:
        nonlocal appended
        status = os.fstat(fd)
        sizes.append((status.st_ino, status.st_size))
        if status.st_size > len(MAGIC) and not appended:
            appended = True
            asyncio.run_coroutine_threadsafe(append(), loop).result(5)
        os.fsync(fd)

    async def append() -> None:
        journal.append({"n": 2})

    loop = asyncio.get_running_loop()
    journal = Journal(tmp_path, "paper", fsync=fsync)
    journal.recover(tmp_path)
    journal.append({"n": 1})
    old = journal.segments()[0]
    await journal.rotate()
    assert (old.stat().st_ino, old.stat().st_size) in sizes
    journal.close()


async def test_a_failed_fsync_is_never_retried_as_a_success(tmp_path: Path) -> None:
    broken = False

    def fsync(fd: int) -> None:
        if broken:
            raise OSError(5, "I/O error")

    journal = Journal(tmp_path, "paper", fsync=fsync)
    journal.recover(tmp_path)
    journal.append({"n": 1})
    broken = True
    with pytest.raises(DurabilityLost):
        await journal.sync()
    broken = False
    with pytest.raises(DurabilityLost):
        await journal.sync()
    with pytest.raises(DurabilityLost):
        journal.append({"n": 2})
    journal.close()
