"""Unit tests are still: no socket, no process, no real second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stillness import PATIENCE, still

#: Whole loops that trade by asyncio's own clock; they open nothing, and their timers are real.
LOOPS = Path(__file__).parent / "runner" / "live"


@pytest.fixture(autouse=True)
def stillness(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that opens a socket, starts a process, or really waits."""
    with still() as watch:
        yield
    assert not watch.did, f"belongs to tests/integration: {watch.did}"
    if LOOPS not in request.path.parents:
        assert watch.waited <= PATIENCE, (
            f"really waited {watch.waited:.2f} s: give it a clock that the test moves"
        )
