"""What making one record durable costs on a disk, each way in its turn, record by record.

The ways take turns so that whatever else uses the disk meets all of them alike.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

RECORD = bytes(range(256)) + bytes(44)
#: Bytes that are written ahead; records stay within them.
AHEAD = 1 << 20
#: Seconds between two records.
PAUSE = 0.004
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
BASE = "append + fsync, executor"


@dataclass
class Way:
    """A file, how it is made durable, and what that took, in seconds a record."""

    fd: int
    sync: Callable[[int], None] | None
    appends: bool = False
    hops: bool = False
    took: list[float] = field(default_factory=list)


def ahead(path: Path, flags: int = 0) -> int:
    """A file whose space is written, so that a record changes no metadata of size or blocks."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o640)
    os.write(fd, bytes(AHEAD))
    os.fsync(fd)
    return fd


async def compare(folder: Path, records: int) -> dict[str, list[float]]:
    """Seconds a record by the name of the way; ``records`` at most 3,000. The first is the
    journal's."""
    if records * len(RECORD) > AHEAD:
        raise ValueError(f"records={records} do not fit into {AHEAD} bytes; remedy: ask for fewer")
    ways = {
        BASE: Way(os.open(folder / "a", APPEND, 0o640), os.fsync, appends=True, hops=True),
        "append + fsync": Way(os.open(folder / "b", APPEND, 0o640), os.fsync, appends=True),
        "ahead + fdatasync, executor": Way(ahead(folder / "c"), os.fdatasync, hops=True),
        "ahead + fdatasync": Way(ahead(folder / "d"), os.fdatasync),
        "ahead, O_DSYNC": Way(ahead(folder / "e", os.O_DSYNC), None),
    }
    with ThreadPoolExecutor(1) as pool:
        for number in range(records):
            for way in ways.values():
                await asyncio.sleep(PAUSE)
                await _record(way, number * len(RECORD), pool)
    for way in ways.values():
        os.close(way.fd)
    return {name: way.took for name, way in ways.items()}


async def _record(way: Way, offset: int, pool: ThreadPoolExecutor) -> None:
    began = time.perf_counter()
    if way.appends:
        os.write(way.fd, RECORD)
    else:
        os.pwrite(way.fd, RECORD, offset)
    if way.sync and way.hops:
        await asyncio.get_running_loop().run_in_executor(pool, way.sync, way.fd)
    elif way.sync:
        way.sync(way.fd)
    way.took.append(time.perf_counter() - began)
