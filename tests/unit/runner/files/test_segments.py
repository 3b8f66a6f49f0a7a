"""One log under journal, spool and outbox: its format, what a sync covers, what damage costs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runner.files.segments_golden import AT, WRITERS, event, payload, record, write
from tradepulse_runner.bus.outbox import Entry, Outbox
from tradepulse_runner.config.bus import Stream
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.files.frames import frame
from tradepulse_runner.files.segments import Reader, SegmentLog, list_segments, scan
from tradepulse_runner.files.spool import Spool
from tradepulse_runner.oms.journal import Journal

GOLDEN = Path(__file__).with_name("golden")


# -- the format --------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_records_are_the_same_bytes_as_ever(tmp_path: Path, name: str) -> None:
    """So that the release before, to which a rollback leads, reads what this one wrote."""
    write(name, tmp_path / name)
    assert content(tmp_path / name) == content(GOLDEN / name)


def earlier(tmp_path: Path, name: str) -> Path:
    """What an earlier release left."""
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


def test_a_journal_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    folder = earlier(tmp_path, "journal")
    journal = Journal(folder, "paper")
    found = journal.recover(tmp_path, after=2)
    assert found.records == [(number, record(number)) for number in range(3, 13)]
    assert (found.torn_bytes, found.quarantined, found.missing) == (0, [], 0)
    assert [last for _, last in found.segments] == [4, 5, 9, 12, 0]
    assert journal.append(record(13)) == 13
    assert journal.segments()[-1].name == "paper_journal.00000006"
    journal.close()


async def test_a_spool_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    folder = earlier(tmp_path, "spool")
    found = Spool(folder, most=8 << 10, keep=0, clock=lambda: AT)
    found.open()
    assert (found.origin, found.acked, found.recovered_seq, found.first) == (
        f"{7:032x}",
        17,
        35,
        18,
    )
    assert found.notes == {"base": 0, "marks": {"paper": [17, "id"]}}
    read: list[tuple[int, bytes]] = []
    while batch := found.read(4):
        read += batch
    assert read == [(number, payload(number)) for number in range(18, 36)]
    assert found.append(payload(36)) == 36
    found.close()


async def test_an_outbox_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    folder = earlier(tmp_path, "outbox")
    found = Outbox(folder, 8 << 10, clock=lambda: AT + 60)
    found.open()
    assert (found.depth, found.last_sequence("paper"), found.age) == (10, 26, 60)
    read: list[Entry] = []
    while batch := found.read(4):
        read += batch
    told = [json.loads(entry.value) for entry in read if entry.stream]
    assert told == [event(number).body for number in (*range(13, 21), 26)]
    assert [entry.seq for entry in read] == list(range(13, 23))
    assert read[-1] == Entry(22, Stream.FILLS, "BTC-USD", "id-26", event(26).value, AT + 1)
    found.close()


# -- appending and syncing ---------------------------------------------------------------------


def opened(folder: Path, **options: Any) -> SegmentLog:
    log = SegmentLog(folder, "log", digits=4, **{"limit": 100, **options})
    log.recover()
    log.start(max((each.last for each in log.segments), default=0))
    return log


def everything(log: SegmentLog, after: int = 0, *, most: int = 3) -> list[tuple[int, bytes]]:
    reader, found = Reader(log), list[tuple[int, bytes]]()
    reader.seek(after)
    while batch := reader.read(most):
        found += batch
    reader.close()
    return found


@given(st.lists(st.binary(max_size=90), max_size=20), st.data())
def test_what_was_appended_is_read_whoever_dies_in_between(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = opened(folder)
    for each in payloads:
        if data.draw(st.booleans()):
            log.close()
            log = opened(folder)
        log.append(each)
    after = data.draw(st.integers(0, len(payloads)))
    wanted = list(enumerate(payloads, 1))
    assert everything(log, after) == wanted[after:]
    assert log.bytes == sum(path.stat().st_size for path in list_segments(folder, "log"))
    assert all(each.path.stat().st_size == each.size for each in log.segments)
    log.close()


def test_a_sync_covers_the_segments_that_were_closed_since_the_last_one(tmp_path: Path) -> None:
    synced: set[int] = set()

    def fsync(fd: int) -> None:
        assert os.fstat(fd).st_size == Path(f"/proc/self/fd/{fd}").resolve().stat().st_size
        synced.add(os.fstat(fd).st_ino)

    log = opened(tmp_path, fsync=fsync)
    for number in range(9):
        log.append(b"%d" % number * 60)
    assert len(log.segments) > 3
    assert not synced
    log.sync()
    assert synced == {each.path.stat().st_ino for each in log.segments}
    assert not log.unsynced
    synced.clear()
    log.append(b"x")
    log.sync()
    assert synced == {log.segments[-1].path.stat().st_ino}
    log.close()


def test_what_a_failed_sync_left_is_not_taken_for_synced(tmp_path: Path) -> None:
    broken = True

    def fsync(_fd: int) -> None:
        if broken:
            raise OSError(5, "Input/output error")

    log = opened(tmp_path, fsync=fsync)
    log.append(b"a")
    for _ in range(2):
        with pytest.raises(DurabilityLost, match="Input/output error"):
            log.sync()
        assert (log.unsynced, log.synced) == (True, 0)
    broken = False
    log.sync()
    assert (log.unsynced, log.synced) == (False, 1)
    log.close()


def test_a_segment_that_is_closed_leaves_no_file_open(tmp_path: Path) -> None:
    log = opened(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        log.append(b"x" * 90)
    log.sync()
    assert len(os.listdir("/proc/self/fd")) == before
    log.close()


@pytest.mark.parametrize("taken", [0, 5])
@pytest.mark.parametrize("cut_fails", [False, True])
def test_a_write_that_fails_is_not_kept_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int, cut_fails: bool
) -> None:
    """A full disk takes part of a record, or none; what is cut then may fail, too."""
    log = opened(tmp_path)
    log.append(b"first")
    real_write, real_cut = os.write, os.ftruncate

    def full(fd: int, data: bytes) -> int:
        if taken:
            return real_write(fd, data[:taken])
        raise OSError(28, "No space left on device")

    def refuse(_fd: int, _length: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", full)
    if cut_fails:
        monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(OSError, match="Input/output" if cut_fails else "No space left"):
        log.append(b"lost")
    monkeypatch.setattr(os, "write", real_write)
    monkeypatch.setattr(os, "ftruncate", real_cut)
    assert log.append(b"second") == 2
    assert everything(log) == [(1, b"first"), (2, b"second")]
    log.close()
    again = opened(tmp_path)
    assert everything(again) == [(1, b"first"), (2, b"second")]
    again.close()


# -- what a crash left -------------------------------------------------------------------------


def three(folder: Path) -> tuple[Path, bytes, list[int]]:
    """A segment of three records, its bytes, and where each record ends."""
    frames = [frame(number, b"record %d" % number) for number in (1, 2, 3)]
    path = folder / "log.0001"
    path.write_bytes(b"".join(frames))
    return path, path.read_bytes(), [len(b"".join(frames[:n])) for n in range(4)]


def test_a_tail_torn_at_any_byte_costs_only_the_torn_record(tmp_path: Path) -> None:
    path, data, ends = three(tmp_path)
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        log = opened(tmp_path)
        whole = sum(end <= cut for end in ends[1:])
        assert everything(log) == [(n, b"record %d" % n) for n in range(1, whole + 1)]
        assert path.stat().st_size == ends[whole]
        assert log.append(b"next") == whole + 1
        log.close()
        log.segments[-1].path.unlink()
    assert not list(tmp_path.glob("damaged.*"))


@pytest.mark.parametrize("newest", [False, True])
def test_damage_in_the_middle_is_kept_as_evidence(tmp_path: Path, newest: bool) -> None:
    path, data, ends = three(tmp_path)
    harmed = bytearray(data)
    harmed[ends[1] + 20] ^= 1
    path.write_bytes(harmed)
    log = SegmentLog(tmp_path, "log", digits=4)
    seen: list[int] = []
    log.recover(lambda seq, _payload: seen.append(seq), newest_only=newest)
    assert seen == [1]
    assert path.read_bytes() == data[: ends[1]]
    assert (tmp_path / "damaged.0001").read_bytes() == bytes(harmed)


@pytest.mark.parametrize("magic", [b"", b"TPJ\x01"])
@given(position=st.integers(0, 60), flip=st.integers(1, 255))
def test_a_flipped_byte_never_yields_a_wrong_record(magic: bytes, position: int, flip: int) -> None:
    frames = [frame(number, b"record %d" % number) for number in (1, 2, 3)]
    data = bytearray(magic + b"".join(frames))
    data[position] ^= flip
    found = scan(bytes(data), magic)
    kept = len(found.records)
    assert found.records == [(n, b"record %d" % n) for n in range(1, kept + 1)]
    assert kept < 3
    assert found.damaged == (position < len(magic + frames[0] + frames[1]))


def test_an_older_segment_that_is_not_read_at_the_start_is_found_damaged_by_the_reader(
    tmp_path: Path,
) -> None:
    path, data, ends = three(tmp_path)
    path.write_bytes(data[: ends[2]] + b"?" * (ends[3] - ends[2]))
    (tmp_path / "log.0004").write_bytes(frame(4, b"behind"))
    log = SegmentLog(tmp_path, "log", digits=4)
    log.recover(newest_only=True)
    log.start(4)
    reader = Reader(log)
    reader.seek(0)
    assert [seq for seq, _ in reader.read(9)] == [1, 2]
    assert [seq for seq, _ in reader.read(9)] == [4]
    assert reader.damaged == 1
    reader.close()
    log.close()


@pytest.mark.parametrize("at_once", [1, 200, 1 << 20])
def test_a_reader_takes_no_more_at_once_than_it_was_allowed(tmp_path: Path, at_once: int) -> None:
    log = opened(tmp_path, limit=1 << 20)
    for _ in range(50):
        log.append(b"x" * 84)  # a hundred bytes with its head
    reader = Reader(log, at_once=max(at_once, 100))
    reader.seek(0)
    assert len(reader.read(1000)) == min(50, max(1, at_once // 100))
    reader.close()
    log.close()
