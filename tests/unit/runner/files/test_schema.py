"""What another release wrote: everything older is read, what is newer is named, and nothing of it
is taken for damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner.order_books import opened, script
from tradepulse_runner.errors import SchemaTooNew, SnapshotDamaged
from tradepulse_runner.files import schema
from tradepulse_runner.files.frames import frame
from tradepulse_runner.files.schema import Schema
from tradepulse_runner.files.snapshot import SnapshotFile, canonical, read_snapshot
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.oms import journal
from tradepulse_runner.oms.epoch import claim_epoch
from tradepulse_runner.oms.journal import list_segments, scan
from tradepulse_runner.state.backup import state_files
from tradepulse_runner.state.directory import Preparation, prepare, problems
from tradepulse_runner.state.view import read_venue

KINDS = [each for each in vars(schema).values() if isinstance(each, Schema)]
FROZEN = [each for each in KINDS if each.frozen]


def numbered(path: Path, number: int) -> None:
    """The file as a release that counts so would write it."""
    body = json.loads(path.read_bytes())
    path.write_bytes(canonical({**body, "schema": number}) + b"\n")


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def rewritten(folder: Path, change: Any) -> None:
    """A newest snapshot with another payload, rightly checksummed."""
    file = SnapshotFile(folder / "paper_oms.json", schema.ORDER_BOOK)
    found = file.load()
    assert found is not None
    change(found.payload)
    file.save(found.payload)


def test_frozen_kinds_keep_the_number_that_every_release_reads() -> None:
    assert {each.kind: each.number for each in FROZEN} == {
        "writer epoch": 1,
        "kill switch": 1,
        "kill switch report": 1,
        "incident report": 1,
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.kind)
@pytest.mark.parametrize("by", [0, 1, 7])
def test_what_is_newer_is_refused_by_name_unless_it_is_frozen(kind: Schema, by: int) -> None:
    if by and not kind.frozen:
        with pytest.raises(SchemaTooNew, match=f"{kind.kind} of schema .*remedy"):
            kind.require(kind.number + by, "a file")
    else:
        kind.require(kind.number + by, "a file")


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.kind)
def test_what_is_older_is_read(kind: Schema, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    SnapshotFile(path, kind).save({"value": 1})
    newer = Schema(kind.kind, kind.number + 1)
    assert read_snapshot(path, newer).payload == {"value": 1}


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_that_nobody_wrote_is_damage(number: int, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    SnapshotFile(path, schema.EPOCH).save({"value": 1})
    numbered(path, number)
    with pytest.raises(SnapshotDamaged):
        read_snapshot(path, schema.EPOCH)


def test_an_epoch_that_a_newer_release_wrote_is_gone_on_from(tmp_path: Path) -> None:
    first = claim_epoch(tmp_path, "ns/name")
    numbered(tmp_path / "epoch.json", 99)
    second = claim_epoch(tmp_path, "ns/name")
    assert (second.epoch, second.incarnation) == (first.epoch + 1, first.incarnation)
    assert json.loads((tmp_path / "epoch.json").read_bytes())["schema"] == 1


def test_a_latch_that_a_newer_release_wrote_is_read(tmp_path: Path) -> None:
    KillSwitch(tmp_path, clock=lambda: 1.0).engage("a reason")
    numbered(tmp_path / "kill_switch.json", 99)
    read = KillSwitch(tmp_path, clock=lambda: 2.0)
    assert (read.engaged, read.reason, read.damaged) == (True, "a reason", False)


def test_a_latch_without_what_it_must_say_counts_as_engaged(tmp_path: Path) -> None:
    SnapshotFile(tmp_path / "kill_switch.json", schema.KILL_SWITCH).save({"engaged": False})
    read = KillSwitch(tmp_path, clock=lambda: 2.0)
    assert read.engaged
    assert read.damaged


async def test_a_journal_of_an_older_schema_is_read_and_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oms = opened(tmp_path)
    await script(oms)
    orders, positions = dict(oms.state.orders), dict(oms.state.positions)
    oms.close()
    newer = Schema("journal", schema.JOURNAL.number + 1)
    monkeypatch.setattr(journal, "JOURNAL", newer)
    monkeypatch.setattr(journal, "MAGIC", b"TPJ" + bytes([newer.number]))
    again = opened(tmp_path)
    assert (again.state.orders.keys(), again.state.positions) == (orders.keys(), positions)
    assert again.damaged == 0
    again.close()
    heads = {path.read_bytes()[3] for path in list_segments(tmp_path, "paper")}
    assert heads == {schema.JOURNAL.number, newer.number}
    assert opened(tmp_path).state.positions == positions


@pytest.mark.parametrize("head", [b"TPJ\0", b"TPK\1", b"TP"])
def test_a_head_that_nobody_wrote_is_damage(head: bytes) -> None:
    found = scan(head + frame(1, b'{"t":"cursor","cursor":"1"}'))
    assert (found.records, found.damaged) == ([], True)


UNKNOWN = {
    "a kind of record": {"t": "hedged", "id": "x"},
    "a status": {"t": "status", "id": "tp-known", "status": "parked", "reason": ""},
    "a record without its keys": {"t": "fill"},
}


@pytest.mark.parametrize("record", UNKNOWN.values(), ids=UNKNOWN)
async def test_a_record_that_is_not_known_is_named_and_left_where_it_is(
    record: dict[str, Any], tmp_path: Path
) -> None:
    oms = opened(tmp_path)
    await script(oms)
    known = next(iter(oms.state.orders))
    oms._journal.append({**record, "id": known})
    oms.close()
    before = held(tmp_path)
    with pytest.raises(SchemaTooNew, match=r"paper journal, record \d+: .*remedy"):
        opened(tmp_path)
    assert before.items() <= held(tmp_path).items()
    assert not list((tmp_path / "incidents" / "quarantine").iterdir())
    with pytest.raises(SchemaTooNew, match="record"):
        read_venue(tmp_path, "paper")


def _status(payload: dict[str, Any]) -> None:
    payload["state"]["orders"][0]["status"] = "parked"


def _type(payload: dict[str, Any]) -> None:
    payload["state"]["orders"][0]["order"]["type"] = "iceberg"


def _missing(payload: dict[str, Any]) -> None:
    del payload["state"]["cash"]


@pytest.mark.parametrize("change", [_status, _type, _missing])
async def test_a_snapshot_that_is_not_understood_is_named_and_left_where_it_is(
    change: Any, tmp_path: Path
) -> None:
    oms = opened(tmp_path)
    await script(oms)
    await oms.save()
    oms.close()
    rewritten(tmp_path, change)
    before = held(tmp_path)
    with pytest.raises(SchemaTooNew, match=r"paper_oms\.json.*remedy"):
        opened(tmp_path)
    assert held(tmp_path) == before
    with pytest.raises(SchemaTooNew):
        read_venue(tmp_path, "paper")


@pytest.mark.parametrize("what", ["_oms.json", "_journal."])
async def test_a_backup_of_a_newer_release_is_refused_before_anything_changes(
    what: str, tmp_path: Path
) -> None:
    oms = opened(tmp_path)
    await script(oms)
    await oms.save()
    oms.close()
    path = next(each for each in state_files(tmp_path) if what in each.name)
    if what == "_oms.json":
        numbered(path, schema.ORDER_BOOK.number + 1)
    else:
        path.write_bytes(b"TPJ" + bytes([schema.JOURNAL.number + 1]) + path.read_bytes()[4:])
    prepare(tmp_path, Preparation(backup="b"), clock=lambda: 1.0)
    before = held(tmp_path)
    with pytest.raises(SchemaTooNew, match="remedy"):
        prepare(tmp_path, Preparation(restore="b"), clock=lambda: 1.0)
    assert held(tmp_path) == before
    assert any("schema" in each for each in problems(tmp_path, clock=lambda: 1.0))
