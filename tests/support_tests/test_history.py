"""The previous release out of the history, also of a clone that is too shallow for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import history


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.test")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first of two commits; the checkout is a clone that has the second alone."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet")
    for text in ("old", "new"):
        (origin / "file").write_text(text)
        git(origin, "add", "file")
        git(origin, "commit", "--quiet", "--message", text)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "clone")
    monkeypatch.setattr(history, "ROOT", tmp_path / "clone")
    return git(origin, "rev-parse", "HEAD~1")


def test_a_shallow_clone_fetches_it(tmp_path: Path, first: str) -> None:
    history.extract(tmp_path / "made", commit=first)
    assert (tmp_path / "made" / "file").read_text() == "old"


def test_what_is_nowhere_is_refused_with_the_remedy(tmp_path: Path, first: str) -> None:
    with pytest.raises(history.NotInHistory, match="git fetch --unshallow"):
        history.extract(tmp_path / "made", commit="0" * 40)
