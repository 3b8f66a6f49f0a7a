"""What tests of any venue get."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.runner.venues.venue_fixtures import VENUE_FIXTURES, VenueFixture


@pytest.fixture(params=sorted(VENUE_FIXTURES))
async def place(request: pytest.FixtureRequest) -> AsyncIterator[VenueFixture]:
    """Each venue of the kit in turn."""
    async with VENUE_FIXTURES[request.param]() as made:
        yield made
