"""Writes a journal, a spool and an outbox: the files of ``golden/`` are what this wrote once.

An order journal, an audit spool and an event outbox outlive the release that wrote them, in both
directions: the next release reads them, and so does the one that a rollback brings back. Never
write the files again to make a test pass; a new format is a new schema.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tradepulse_runner.bus.events import Event
from tradepulse_runner.bus.outbox import Outbox
from tradepulse_runner.config.bus import Stream
from tradepulse_runner.files.spool import Spool
from tradepulse_runner.oms.journal import Journal

AT = 1_700_000_000.0


def record(number: int) -> dict[str, Any]:
    return {"t": "status", "id": f"order-{number}", "reason": "é" * (number % 7), "n": number}


async def write_journal(folder: Path) -> None:
    """Three segments and a fourth that has no record, as after a start."""
    for records in (5, 7, 0):
        journal = Journal(folder, "paper")
        found = journal.recover(folder)
        for number in range(records):
            journal.append(record(journal.seq + 1))
            if number == 3:
                await journal.sync()
                await journal.rotate()
        assert len(found.records) == journal.seq - records
        journal.close()


def payload(number: int) -> bytes:
    return b'{"n":%d,"x":"%s"}' % (number, b"x" * (number * 37 % 200))


async def write_spool(folder: Path) -> None:
    """Segments of a kibibyte: acknowledged in part, some dropped, opened again and added to."""
    found = Spool(folder, most=8 << 10, keep=0, clock=lambda: 4e9)
    found.open()
    for number in range(1, 31):
        found.append(payload(number))
    found.ack(17)
    found.notes["marks"] = {"paper": [17, "id"]}
    await found.save()
    found.seek(17)
    await found.save()
    found.close()
    again = Spool(folder, most=8 << 10, keep=0, clock=lambda: 4e9)
    again.open()
    for number in range(31, 36):
        again.append(payload(number))
    await again.save()
    again.close()


def event(number: int, stream: Stream = Stream.ORDERS) -> Event:
    body = {"n": number, "filler": "x" * (number * 37 % 200)}
    return Event(stream, "BTC-USD", body, f"id-{number}", ("paper", number))


async def write_outbox(folder: Path) -> None:
    """Segments of a kibibyte: told in part, some dropped, opened again and added to."""
    found = Outbox(folder, 8 << 10, clock=lambda: AT)
    found.open()
    for number in range(1, 21):
        assert found.put(event(number))
    found.mark_position("paper", 25)
    while entries := [entry for entry in found.read(4) if entry.seq <= 12]:
        found.ack(entries[-1])
    await found.save()
    found.close()
    again = Outbox(folder, 8 << 10, clock=lambda: AT + 1)
    again.open()
    assert again.put(event(26, Stream.FILLS))
    await again.save()
    again.close()


WRITERS = {"journal": write_journal, "spool": write_spool, "outbox": write_outbox}


def write(name: str, folder: Path) -> None:
    """What :data:`WRITERS` has under ``name``, the same bytes each time."""
    folder.mkdir(parents=True)
    with patch("uuid.uuid4", return_value=uuid.UUID(int=7)):
        asyncio.run(WRITERS[name](folder))


if __name__ == "__main__":
    for each in WRITERS:
        write(each, Path(sys.argv[1]) / each)
