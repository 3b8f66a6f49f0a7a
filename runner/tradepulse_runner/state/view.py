"""The order books in the state directory, read only: snapshots and journals together.

A snapshot alone may be thousands of records old. Reading needs no lock: snapshots appear whole, and
the end of a journal that is being written looks like a torn tail, which is no damage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import RunnerError
from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import Snapshot, SnapshotFile
from tradepulse_runner.oms.journal import list_segments, scan
from tradepulse_runner.oms.state import OmsState, record_to_json, written_elsewhere
from tradepulse_runner.state.backup import state_files

#: Closed orders that an export shows, the newest ones.
CLOSED_SHOWN = 200


@dataclass(slots=True)
class VenueView:
    """One venue's book: the snapshot (None: there is none), and the journal applied to it.

    ``replayed`` records; ``missing`` sequence numbers that no file contains; ``torn_bytes`` at the
    end of journals; ``damaged`` files that were left out.
    """

    state: OmsState
    snapshot: Snapshot | None = None
    seq: int = 0
    replayed: int = 0
    missing: int = 0
    torn_bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def venues(state_dir: Path) -> list[str]:
    """Names of the venues that have a snapshot or a journal."""
    names = {
        path.name.split(mark)[0]
        for path in state_files(state_dir)
        for mark in ("_oms.json", "_journal.")
        if mark in path.name
    }
    return sorted(names)


def read_venue(state_dir: Path, venue: str) -> VenueView:
    """The book of ``venue`` as a runner would begin with it, its orders not aged.

    Raises :class:`SnapshotDamaged` when no generation is good, :class:`SchemaTooNew` for what a
    newer release wrote.
    """
    file = SnapshotFile(state_dir / f"{venue}_oms.json", ORDER_BOOK)
    snapshot = file.load()
    view = VenueView(OmsState(), snapshot, damaged=[path.name for path in file.damaged])
    if snapshot is not None:
        with written_elsewhere(file.path):
            view.state = OmsState.from_json(snapshot.payload["state"])
            view.seq = int(snapshot.payload["seq"])
    for path in list_segments(state_dir, venue):
        _replay(path, view)
    return view


def _replay(path: Path, view: VenueView) -> None:
    scanned = scan(path.read_bytes(), name=str(path))
    view.torn_bytes += scanned.torn_bytes
    if scanned.damaged:
        view.damaged.append(path.name)
    for seq, record in scanned.records:
        if seq <= view.seq:
            continue
        with written_elsewhere(f"{path}, record {seq}"):
            view.state.apply(record)
        view.missing += seq - view.seq - 1
        view.replayed += 1
        view.seq = seq


def summary(state_dir: Path, venue: str) -> dict[str, Any]:
    """A venue's book for a person: JSON values, or ``error`` with a remedy."""
    try:
        view = read_venue(state_dir, venue)
    except (RunnerError, OSError) as error:
        return {"error": str(error)}
    snapshot, state = view.snapshot, view.state
    return {
        "generation": snapshot.generation if snapshot else 0,
        "sha256": snapshot.sha256 if snapshot else "",
        "journal_seq": view.seq,
        "journal": {
            "replayed": view.replayed,
            "missing": view.missing,
            "torn_bytes": view.torn_bytes,
            "damaged": view.damaged,
        },
        "positions": {symbol: str(size) for symbol, size in state.positions.items()},
        "cash": str(state.cash),
        "cursor": state.cursor,
        "live_orders": sorted(state.live),
    }


def orders(state_dir: Path, venue: str) -> list[dict[str, Any]]:
    """Every order that is not closed, and the newest closed ones; none for a damaged book."""
    try:
        state = read_venue(state_dir, venue).state
    except (RunnerError, OSError):
        return []
    closed = [record for record in state.orders.values() if record.status.terminal]
    return [record_to_json(r) for r in (*state.live.values(), *closed[-CLOSED_SHOWN:])]
