"""State of real trading on a volume, and preparing it step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.runner.order_books import opened, script, trade
from tradepulse_runner.files.snapshot import no_fault
from tradepulse_runner.state.backup import checksum, state_files
from tradepulse_runner.state.directory import Preparation, prepare


def run(path: Path, step: Callable[[str], None] = no_fault, **wanted: Any) -> dict[str, Any]:
    return prepare(path, Preparation(**wanted), clock=time.time, step=step)


def content(path: Path) -> dict[str, str]:
    return {file.name: checksum(file) for file in state_files(path)}


async def lived(path: Path) -> None:
    """A state, with the paper venue's own book next to it."""
    oms = opened(path)
    await script(oms)
    oms.close()
    (path / "paper").mkdir(exist_ok=True)
    (path / "paper" / "paper.sqlite").write_bytes(b"the venue's truth")


async def go_on(path: Path) -> None:
    """What a bad release does to the state after the backup."""
    oms = opened(path)
    oms.book((trade(99, "7"),), "99")
    await oms.save()
    await oms.save()
    oms.close()
    (path / "paper" / "paper.sqlite").write_bytes(b"the venue moved on")


def steps_of(act: Callable[[Callable[[str], None]], object]) -> int:
    """How many steps an undisturbed run announces."""
    count = 0

    def hook(_name: str) -> None:
        nonlocal count
        count += 1

    act(hook)
    return count
