"""Files that are generated and committed: write them, or say how they differ."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path


def main(files: Mapping[str, str], arguments: list[str], *, usage: str) -> int:
    """`FOLDER [--check]`: write `files` (by name), or exit 1 with a diff where they differ."""
    check = "--check" in arguments
    folders = [each for each in arguments if not each.startswith("-")]
    if len(folders) != 1 or set(arguments) - {"--check", *folders}:
        print(usage, file=sys.stderr)
        return 2
    folder = Path(folders[0])
    if not check:
        _write(files, folder)
        return 0
    diff = difference(files, folder)
    sys.stdout.write(diff)
    if diff:
        print(f"\n{folder} is not what the models say: run it without --check", file=sys.stderr)
    return 1 if diff else 0


def _write(files: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def difference(files: Mapping[str, str], folder: Path) -> str:
    """A unified diff from what is in `folder` to `files`; empty when nothing differs."""
    return "".join(_diff(folder / name, text) for name, text in files.items())


def _diff(path: Path, wanted: str) -> str:
    committed = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = difflib.unified_diff(
        committed.splitlines(keepends=True),
        wanted.splitlines(keepends=True),
        f"{path} (committed)",
        f"{path} (generated)",
    )
    return "".join(lines)
