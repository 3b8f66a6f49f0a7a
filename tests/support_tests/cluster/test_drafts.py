"""A folder of the cache: made once, whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.cluster.drafts import draft_of


def test_it_appears_whole_and_is_made_once(tmp_path: Path) -> None:
    target, made = tmp_path / "bin" / "program-1.2", []

    def make() -> None:
        with draft_of(target) as draft:
            if draft:
                assert not target.exists()
                made.append(draft)
                (draft / "program").write_text("whole")
        assert (target / "program").read_text() == "whole"

    workers = [threading.Thread(target=make) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 1


def test_what_failed_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "program"

    def fail() -> None:
        with draft_of(target) as draft:
            assert draft
            (draft / "half").write_text("")
            raise RuntimeError("compiler")

    with pytest.raises(RuntimeError, match="compiler"):
        fail()
    assert not target.exists()
    with draft_of(target) as draft:
        assert draft is not None
        assert list(draft.iterdir()) == []
