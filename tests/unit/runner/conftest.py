"""Runner processes that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.unit.runner.process import RunnerProcess

Make = Callable[..., RunnerProcess]
# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


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
