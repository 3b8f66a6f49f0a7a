"""The spool: what a kill, a torn write, a full volume and a reader that was set back do to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.runner.database_fixtures import journalled
from tradepulse_runner.config.database import DatabaseConfig, require_files
from tradepulse_runner.database import schema
from tradepulse_runner.database.audit import Entry
from tradepulse_runner.database.recorder import Recorder
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.spool import Spool, SpoolFull
from tradepulse_runner.oms.journal import Journal, list_segments

MEBI = 1 << 20


class Clock:
    now = 1.5e9

    def __call__(self) -> float:
        return self.now


def spool(folder: Path, clock: Clock | None = None, *, most: int = 8 * MEBI) -> Spool:
    found = Spool(folder / "spool", most=most, keep=3600, clock=clock or Clock())
    found.open()
    return found


def everything(found: Spool, after: int = 0) -> list[bytes]:
    found.seek(after)
    read: list[bytes] = []
    while batch := found.read(7):
        read += [payload for _, payload in batch]
    return read


# -- the queue -----------------------------------------------------------------------------------


async def test_what_was_appended_is_there_after_a_kill(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(20):
        first.append(b"%d" % number)
    again = spool(tmp_path)  # nothing was closed or saved
    assert (again.origin, again.seq, again.depth) == (first.origin, 20, 20)
    assert everything(again) == [b"%d" % number for number in range(20)]
    assert again.append(b"next") == 21


async def test_a_torn_tail_is_cut_and_numbers_go_on(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(3):
        first.append(b"%d" % number)
    (segment,) = (tmp_path / "spool").glob("spool.0*")
    segment.write_bytes(segment.read_bytes()[:-1])
    again = spool(tmp_path)
    assert again.append(b"new") == 3
    assert everything(again) == [b"0", b"1", b"new"]


async def test_damage_costs_the_rest_of_its_segment_and_is_reported(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(3):
        first.append(b"%d" % number)
    spool(tmp_path).append(b"behind")
    oldest = min((tmp_path / "spool").glob("spool.0*"))
    data = bytearray(oldest.read_bytes())
    data[len(data) // 2] ^= 255
    oldest.write_bytes(data)
    again = spool(tmp_path)
    assert everything(again) == [b"0", b"behind"]
    assert again.damaged == 1


async def test_what_was_acknowledged_stays_for_a_reader_that_was_set_back(tmp_path: Path) -> None:
    clock = Clock()
    found = spool(tmp_path, clock)
    for _ in range(6):
        found.append(b"x" * MEBI)  # a segment each
    found.ack(6)
    await found.save()
    found.rewind(2)
    assert (found.depth, len(everything(found, 2))) == (4, 4)
    found.ack(6)
    found.seek(6)
    clock.now += 10**9  # longer than anything is kept
    await found.save()
    assert found.first == 6  # the newest is still written to
    assert found.bytes <= MEBI + 100


async def test_when_it_is_full_what_was_acknowledged_goes_and_nothing_else(tmp_path: Path) -> None:
    found = spool(tmp_path)
    large = b"x" * (MEBI - 16)
    for _ in range(7):
        found.append(large)
    with pytest.raises(SpoolFull, match="of at most"):
        found.append(large + large)
    held = found.seq
    assert len(everything(found)) == held
    found.ack(4)
    await found.save()
    found.seek(4)
    assert found.append(large) == held + 1
    assert found.append(large) == held + 2
    assert len(everything(found, 4)) == held + 2 - 4


# -- what is put into it ---------------------------------------------------------------------------


class Book:
    """A journal whose records a recorder hears of, as the order book has it."""

    def __init__(self, folder: Path, *, most: int = 8 * MEBI) -> None:
        self.folder, clock = folder, Clock()
        self.spool = Spool(folder / "spool", most=most, keep=3600, clock=clock)
        self.recorder = Recorder(folder, self.spool, epoch=lambda: 1, clock=clock)
        self.journal = Journal(folder, "paper")
        self.journal.recover(folder)
        self.recorder.opened("paper", self.journal.seq)

    def write(self, *, heard: bool = True, padding: str = "") -> None:
        record = {"t": "status", "id": f"order-{self.journal.seq + 1}", "p": padding}
        seq = self.journal.append(record)
        if heard:
            self.recorder.recorded("paper", seq, record, None)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        found = [Entry.from_bytes(data) for data in everything(self.spool)]
        return [(entry.kind, json.loads(entry.body)) for entry in found]

    def numbers(self) -> list[int]:
        return [body["seq"] for kind, body in self.told() if kind == "status"]


async def test_a_kill_between_journal_and_spool_is_caught_up_with(tmp_path: Path) -> None:
    first = Book(tmp_path)
    for _ in range(5):
        first.write()
    first.write(heard=False)
    assert Book(tmp_path).numbers() == [1, 2, 3, 4, 5, 6]
    assert Book(tmp_path).numbers() == [1, 2, 3, 4, 5, 6]


async def test_a_cursor_is_not_worth_a_record(tmp_path: Path) -> None:
    book = Book(tmp_path)
    record = {"t": "cursor", "cursor": "7"}
    book.recorder.recorded("paper", book.journal.append(record), record, None)
    book.write()
    assert book.numbers() == [2]
    assert journalled(tmp_path) == {2}


async def test_a_full_spool_holds_up_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    book = Book(tmp_path, most=MEBI)
    for _ in range(30):
        book.write(padding="x" * 50_000)
    assert book.recorder.behind
    held = book.spool.seq
    assert held < 30
    book.spool.ack(held)
    await book.recorder.save()
    book.spool.seek(held)
    for _ in range(3):  # as a database that takes them again lets it
        await book.recorder.catch_up()
        book.spool.ack(book.spool.seq)
        await book.recorder.save()
        book.spool.seek(book.spool.acked)
    assert not book.recorder.behind
    assert book.spool.seq == 30


async def test_records_that_the_journal_dropped_meanwhile_are_reported_as_a_gap(
    tmp_path: Path,
) -> None:
    book = Book(tmp_path)
    book.write()
    for _ in range(4):
        book.write(heard=False)
    older = await book.journal.rotate()
    book.write(heard=False)
    for path in older:
        path.unlink()
    again = Book(tmp_path)
    gap = {"seq": 0, "source": "paper", "first": 2, "last": 5}
    assert ("gap", gap) in again.told()
    assert again.numbers() == [1, 6]
    assert again.recorder.missed == 4


async def test_a_state_set_aside_begins_anew_and_is_reported(tmp_path: Path) -> None:
    """After a cold start or a restored backup the journal's numbers are those of before."""
    first = Book(tmp_path)
    for _ in range(5):
        first.write()
    for path in list_segments(tmp_path, "paper"):
        path.unlink()
    again = Book(tmp_path)
    again.write(padding="another")
    assert again.numbers() == [1, 2, 3, 4, 5, 1]
    assert again.recorder.missed == 0


async def test_what_postgresql_does_not_take_is_reported_in_another_way(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for value in (float("nan"), "x" * 300_000):
        record = {"t": "status", "odd": value}
        book.recorder.recorded("paper", book.journal.append(record), record, None)
    (_, odd), (_, large) = book.told()
    assert "nan" in odd["unusual"]
    assert large["bytes"] > 300_000
    assert len(large["sha256"]) == 64


# -- configuration and schema ----------------------------------------------------------------------


def raw(**changes: Any) -> dict[str, Any]:
    files = {"ca_file": "/c/ca.crt", "cert_file": "/c/tls.crt", "key_file": "/c/tls.key"}
    return {"hosts": ["db:5432"], "user": "runner", **files, **changes}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hosts": []}, "hosts"),
        ({"hosts": ["db"]}, "hosts"),
        ({"hosts": ["db:0"]}, "hosts"),
        ({"hosts": ["::1:5432"]}, "hosts"),
        ({"hosts": ["user@db:5432"]}, "hosts"),
        ({"ssl_mode": "require"}, "ssl_mode"),
        ({"ssl_mode": "verify-ca"}, "ssl_mode"),
        ({"password": "x"}, "password"),
        ({"ca_file": None}, "ca_file"),
        ({"cert_file": None}, "cert_file"),
        ({"key_file": None}, "key_file"),
        ({"spool_max_bytes": 1}, "spool_max_bytes"),
    ],
)
def test_nothing_weaker_than_certificates_on_both_sides(
    changes: dict[str, Any], field: str
) -> None:
    DatabaseConfig.model_validate(raw())
    with pytest.raises(ValidationError) as refused:
        DatabaseConfig.model_validate(raw(**changes))
    assert {error["loc"][0] for error in refused.value.errors()} == {field}


@pytest.mark.parametrize("missing", ["ca_file", "cert_file", "key_file"])
def test_each_file_is_obligatory(missing: str) -> None:
    found = raw()
    del found[missing]
    with pytest.raises(ValidationError, match=missing):
        DatabaseConfig.model_validate(found)


def test_a_file_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    found = DatabaseConfig.model_validate(raw(ca_file=tmp_path / "ca.crt"))
    with pytest.raises(ConfigError, match=r"database\.ca_file: .*ca\.crt.*mount the Secret"):
        require_files(found)


#: What would keep the release before from running.
_TAKES_AWAY = ("DROP ", "RENAME ", "ALTER COLUMN", "TRUNCATE ", "DELETE FROM", "SET NOT NULL")


@pytest.mark.parametrize("each", schema.migrations(), ids=lambda each: each.name)
def test_migrations_only_add(each: schema.Migration) -> None:
    words = "\n".join(line.partition("--")[0] for line in each.sql.upper().splitlines())
    statements = [s for s in words.split(";") if s.split()[:2] != ["CREATE", "TRIGGER"]]
    assert not [word for word in _TAKES_AWAY for s in statements if word in s]
    assert each.oldest <= max(1, each.version - 1), "the release before couldn't run"


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [each.version for each in schema.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
