"""Torn at every byte, a journal loses at most the record that was being written."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_runner.errors import DurabilityLost, SchemaTooNew
from tradepulse_runner.journal import MAGIC, Journal, Scan, frame, list_segments, scan

RECORDS = [{"t": "x", "n": n, "text": "é" * n} for n in range(6)]


def bytes_of(records: list[dict[str, Any]]) -> tuple[bytes, list[int]]:
    """A segment, and the offset after each record."""
    data, ends = MAGIC, []
    for seq, record in enumerate(records, 1):
        data += frame(seq, json.dumps(record).encode())
        ends.append(len(data))
    return data, ends


def test_torn_at_every_byte_keeps_every_complete_record() -> None:
    data, ends = bytes_of(RECORDS)
    for cut in range(len(data) + 1):
        found = scan(data[:cut])
        complete = sum(1 for end in ends if end <= cut)
        assert [r for _, r in found.records] == RECORDS[:complete], cut
        assert not found.damaged, cut


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4096])
@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_a_tail_of_filler_is_torn_not_damage(size: int, filler: bytes) -> None:
    data, _ = bytes_of(RECORDS)
    found = scan(data + filler * size)
    assert len(found.records) == len(RECORDS)
    assert found.torn_bytes == size
    assert not found.damaged


@given(data=st.data())
def test_a_changed_byte_never_invents_a_record(data: Any) -> None:
    good, ends = bytes_of(RECORDS)
    at = data.draw(st.integers(len(MAGIC), len(good) - 1))
    bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    found = scan(bad)
    hit = next(index for index, end in enumerate(ends) if at < end)
    assert [r for _, r in found.records] == RECORDS[:hit]
    assert found.damaged == (hit < len(RECORDS) - 1)


@given(st.binary(max_size=300))
def test_garbage_never_raises(garbage: bytes) -> None:
    try:
        assert isinstance(scan(MAGIC + garbage), Scan)
        assert isinstance(scan(garbage), Scan)
    except SchemaTooNew:
        assert garbage[:3] == MAGIC[:3]


def test_newer_schema_is_refused() -> None:
    with pytest.raises(SchemaTooNew):
        scan(MAGIC[:3] + bytes([MAGIC[3] + 1]) + b"whatever")


def reopen(path: Path) -> tuple[Journal, Any]:
    quarantine = path / "q"
    quarantine.mkdir(exist_ok=True)
    journal = Journal(path, "paper")
    return journal, journal.recover(quarantine)


async def test_sequence_goes_on_across_restarts_and_tears(tmp_path: Path) -> None:
    journal, _ = reopen(tmp_path)
    for record in RECORDS:
        journal.append(record)
    await journal.sync()
    journal.close()
    torn = list_segments(tmp_path, "paper")[-1]
    torn.write_bytes(torn.read_bytes()[:-3])

    journal, found = reopen(tmp_path)
    assert [r for _, r in found.records] == RECORDS[:-1]
    assert found.torn_bytes > 0
    assert journal.append({"t": "after"}) == len(RECORDS)
    journal.close()

    journal, found = reopen(tmp_path)
    assert [r for _, r in found.records] == [*RECORDS[:-1], {"t": "after"}]
    assert found.quarantined == []
    journal.close()


async def test_damage_in_the_middle_is_kept_as_evidence(tmp_path: Path) -> None:
    journal, _ = reopen(tmp_path)
    for record in RECORDS:
        journal.append(record)
    await journal.sync()
    journal.close()
    segment = list_segments(tmp_path, "paper")[-1]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)

    journal, found = reopen(tmp_path)
    journal.close()
    assert found.quarantined == [tmp_path / "q" / segment.name]
    assert found.quarantined[0].read_bytes() == bytes(data)
    assert 0 < len(found.records) < len(RECORDS)


async def test_failed_fsync_is_latched_and_never_retried(tmp_path: Path) -> None:
    calls = 0

    def fsync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(5, "Input/output error")
        os.fsync(fd)

    journal = Journal(tmp_path, "paper", fsync=fsync)
    journal.recover(tmp_path)
    journal.append({"n": 1})
    with pytest.raises(DurabilityLost):
        await journal.sync()
    for _ in range(2):
        with pytest.raises(DurabilityLost):
            journal.append({"n": 2})
        with pytest.raises(DurabilityLost):
            await journal.rotate()
    assert calls == 2
    journal.close()


async def test_full_disk_is_durability_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = reopen(tmp_path)
    monkeypatch.setattr(os, "write", lambda _fd, data: len(data) - 1)
    with pytest.raises(DurabilityLost, match="short write"):
        journal.append({"n": 1})
    monkeypatch.undo()
    journal.close()


async def test_concurrent_syncs_share_one_fsync(tmp_path: Path) -> None:
    calls = 0

    def fsync(fd: int) -> None:
        nonlocal calls
        calls += 1
        os.fsync(fd)

    journal = Journal(tmp_path, "paper", fsync=fsync)
    journal.recover(tmp_path)
    for n in range(20):
        journal.append({"n": n})
    calls = 0
    await asyncio.gather(*(journal.sync() for _ in range(20)))
    assert calls == 1
    journal.close()
