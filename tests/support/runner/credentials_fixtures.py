"""Key pairs, and the ways in which others replace their files, step by step."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMES = ("BINANCE_API_KEY", "BINANCE_API_SECRET")
Keys = tuple[str, str]
_numbers = itertools.count()


def pair(number: int, names: str = "") -> Keys:
    """A pair whose halves can be told to belong together."""
    return f"key-{names}{number}", f"secret-of-{names}{number}-" + "x" * 64


@dataclass
class Timer:
    """Seconds that rise when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def write(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> None:
    """Both files, in place, at once."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, keys, strict=True):
        (directory / name).write_text(text)


def swapped(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> Iterator[None]:
    """As the kubelet does: a new directory, a link to it that is renamed over ``..data``; what
    was linked before is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    link, staged = directory / "..data", directory / "..data_tmp"
    before = directory / os.readlink(link) if link.is_symlink() else None
    target = directory / f"..2026_11_24_{next(_numbers)}"
    target.mkdir()
    for name, text in zip(names, keys, strict=True):
        (target / name).write_text(text)
        yield
    staged.symlink_to(target.name)
    yield
    staged.rename(link)
    yield
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).unlink(missing_ok=True)
            (directory / name).symlink_to(f"..data/{name}")
    if before is not None:
        shutil.rmtree(before)
    yield


def renamed(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> Iterator[None]:
    """As an agent does that knows one file at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, keys, strict=True):
        staged = directory / f".{name}.tmp"
        staged.write_text(text)
        yield
        staged.rename(directory / name)
        yield


def together(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> Iterator[None]:
    """As an agent does whose template makes one file of both."""
    directory.mkdir(parents=True, exist_ok=True)
    staged = directory / ".credentials.tmp"
    staged.write_text(json.dumps(dict(zip(names, keys, strict=True))))
    yield
    staged.rename(directory / "credentials.json")
    yield


def overwritten(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> Iterator[None]:
    """As an editor or a shell's ``>`` does: truncated, then written in pieces."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, keys, strict=True):
        if (directory / name).is_symlink():
            (directory / name).unlink()  # a Secret's volume can't be written through
        with (directory / name).open("w") as stream:
            yield
            for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                stream.write(piece)
                stream.flush()
                yield


def removed(directory: Path, keys: Keys, names: tuple[str, str] = NAMES) -> Iterator[None]:
    """Gone for a while, then back with something else."""
    for name in names:
        (directory / name).unlink(missing_ok=True)
        yield
    yield from renamed(directory, keys, names)


def finish(steps: Iterator[None]) -> None:
    """Take all of ``steps`` at once."""
    for _ in steps:
        pass
