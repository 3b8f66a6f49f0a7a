"""What tests of any venue get."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.runner.venues.venue_fixtures import PLACES, Place


@pytest.fixture(params=sorted(PLACES))
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Each venue of the kit in turn."""
    async with PLACES[request.param]() as made:
        yield made
