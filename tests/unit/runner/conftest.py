"""Runner processes that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runner.process import RunnerProcess

Make = Callable[..., RunnerProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes runners, each in a folder of its own."""
    made: list[RunnerProcess] = []

    def build(**config: Any) -> RunnerProcess:
        made.append(RunnerProcess(tmp_path / f"runner-{len(made)}", **config))
        return made[-1]

    yield build
    for runner in made:
        runner.close()
