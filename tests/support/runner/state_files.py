"""Order states as files: written, and read back whole."""

from __future__ import annotations

from pathlib import Path

from tradepulse_runner.files.schema import ORDER_BOOK
from tradepulse_runner.files.snapshot import SnapshotFile


def write(state_dir: Path, value: int, *journals: int) -> None:
    """An order state: a snapshot with ``value``, and journal segments of these numbers."""
    state_dir.mkdir(exist_ok=True)
    for old in state_dir.glob("paper_journal.*"):
        old.unlink()
    file = SnapshotFile(state_dir / "paper_oms.json", ORDER_BOOK)
    file.load()
    file.save({"value": value})
    for number in journals:
        (state_dir / f"paper_journal.{number:08d}").write_bytes(f"{value}-{number}".encode())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def order_state(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if "/" not in name}
