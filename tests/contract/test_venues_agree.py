"""Each connector that the CRD offers is one that the runner reads, checks and builds."""

from __future__ import annotations

from typing import get_args

import pytest

from tradepulse_operator.api.spec import venue
from tradepulse_runner.config import runner
from tradepulse_runner.venues import catalog

OFFERED = {connector.value for connector in venue.Connector}


def test_the_runners_configuration_takes_what_the_crd_offers() -> None:
    assert set(get_args(runner.Connector)) == OFFERED


@pytest.mark.parametrize("known", [catalog._BUILDERS, catalog._OPTIONS], ids=["built", "checked"])
def test_every_one_but_the_paper_venue_is_in_the_catalog(known: dict[str, object]) -> None:
    """The paper venue is not built by the catalog's table: it has no credentials."""
    assert set(known) | {"paper"} == OFFERED
