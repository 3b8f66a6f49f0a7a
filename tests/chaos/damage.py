"""Harm done to the files of a runner that does not live."""

from __future__ import annotations

import random
from pathlib import Path

from tradepulse_runner.oms.journal import list_segments


def damage(state_dir: Path, venue: str, what: str, chance: random.Random) -> None:
    """Do ``what``, one of :data:`tests.chaos.points.DAMAGE`."""
    thing, how = what.split()
    for path in _files(state_dir, venue, thing):
        _harm(path, how, chance)


def _files(state_dir: Path, venue: str, thing: str) -> list[Path]:
    if thing == "journal":
        return [p for p in list_segments(state_dir, venue) if p.stat().st_size > 4][-1:]
    name = "epoch.json" if thing == "epoch" else f"{venue}_oms.json"
    return [path for path in [state_dir / name] if path.exists()]


def _harm(path: Path, how: str, chance: random.Random) -> None:
    data = path.read_bytes()
    if how == "emptied":
        path.write_bytes(b"")
        return
    # The last few records of a journal at most; anywhere in a file that is written as a whole.
    least = max(4, len(data) - 600) if "journal" in path.name else 0
    cut = chance.randrange(least, len(data)) if len(data) > least else len(data)
    path.write_bytes(data[:cut] + (bytes(len(data) - cut) if how == "zeroed" else b""))
