"""A walk through the pages sees every item once, whatever arrives meanwhile."""

from __future__ import annotations

import pytest

from tests.support.venues.coinbase.paging import BadCursor, page


def falling(count: int) -> list[int]:
    return list(range(count, 0, -1))


@pytest.mark.parametrize(("count", "limit"), [(0, 3), (1, 3), (3, 3), (4, 3), (10, 3)])
def test_every_item_once(count: int, limit: int) -> None:
    seen: list[int] = []
    cursor, pages = "", 0
    while cursor or not pages:
        chosen, cursor = page(falling(count), lambda n: n, limit, cursor)
        seen += chosen
        pages += 1
    assert seen == falling(count)
    assert pages == max(1, -(-count // limit))


def test_what_arrives_at_the_head_neither_repeats_nor_hides_an_item() -> None:
    first, cursor = page(falling(5), lambda n: n, 2, "")
    second, _ = page(falling(9), lambda n: n, 2, cursor)
    assert [*first, *second] == [5, 4, 3, 2]


@pytest.mark.parametrize("cursor", ["rubbish", "MTIz", "é"])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor, match="not given out"):
        page(falling(5), lambda n: n, 2, cursor)
