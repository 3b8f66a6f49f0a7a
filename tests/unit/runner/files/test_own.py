"""A file of the volume's own is read itself: no link, pipe or directory in its place is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tradepulse_runner.files import own


def test_a_link_is_not_followed_even_to_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "book").write_text("orders")
    (tmp_path / "link").symlink_to("book")
    assert own.read(tmp_path / "book") == b"orders"
    with pytest.raises(OSError, match="link"):
        own.read(tmp_path / "link")


def test_neither_a_pipe_nor_a_directory_is_waited_for_or_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            own.read(tmp_path / name)
