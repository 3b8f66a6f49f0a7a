"""The matching makes the same trades as an independent engine; and the comparison would notice."""

from __future__ import annotations

import pytest

from tests.support.venues.exchange.order import Order
from tests.support.venues.oracle import Difference, compare
from tradepulse_runner.venues import matching


@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_make_the_same_trades(seed: int) -> None:
    tally = compare(5000, seed)
    assert tally.operations == 5000
    assert tally.trades > 1000, "there was something to compare"


def test_a_wrong_priority_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def youngest_first(self: matching._Levels[Order]) -> object:
        for price in self.prices():
            for order in reversed(self._levels[price]):
                yield price, order

    monkeypatch.setattr(matching._Levels, "orders", youngest_first)
    with pytest.raises(Difference, match="ours"):
        compare(5000, 1)
