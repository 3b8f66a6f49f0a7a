"""The matching makes the same trades as an independent engine; and the comparison would notice."""

from __future__ import annotations

import pytest

from tests.support.venues.exchange import book
from tests.support.venues.oracle import Difference, compare


@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_make_the_same_trades(seed: int) -> None:
    tally = compare(5000, seed)
    assert tally.operations == 5000
    assert tally.trades > 1000, "there was something to compare"


def test_a_wrong_priority_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def youngest_first(self: book.Levels) -> object:
        for price in self.prices():
            for order in reversed(list(self._levels[price].values())):
                yield price, order

    monkeypatch.setattr(book.Levels, "orders", youngest_first)
    with pytest.raises(Difference, match="ours"):
        compare(5000, 1)
