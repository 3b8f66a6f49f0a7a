"""Reading fills: complete, and each once, out of a list that promises neither."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_runner.domain import Side, TradePage
from tradepulse_runner.errors import OutcomeUnknown
from tradepulse_runner.oms.state import KEEP_TRADES
from tradepulse_runner.venues.coinbase.fills import MAX_REPEATED, OVERLAP, Cursor, FillReader
from tradepulse_runner.venues.coinbase.wire import Fill

SECOND = 1_000_000


def fill(entry: str, at: int) -> Fill:
    one = Decimal(1)
    return Fill(entry, f"order-of-{entry}", "BTC-USD", Side.BUY, one, one, one, at / 1e6, at)


class List:
    """The venue's list: newest first, from a time on."""

    def __init__(self, *fills: Fill) -> None:
        self.fills = list(fills)
        self.asked: list[int | None] = []

    async def read(self, start: int | None) -> list[Fill]:
        self.asked.append(start)
        found = sorted(self.fills, key=lambda f: -f.at)
        return [f for f in found if f.at >= (start or 0)]

    async def owners(self, venue_ids: Iterable[str]) -> Mapping[str, str]:
        return {venue_id: f"tp-{venue_id}" for venue_id in venue_ids}

    def reader(self) -> FillReader:
        return FillReader(self.read, self.owners)


def ids(page: TradePage) -> list[str]:
    return [trade.trade_id for trade in page.trades]


async def test_a_fresh_beginning_tells_no_trades_and_stands_still() -> None:
    venue = List(fill("a", SECOND), fill("b", 2 * SECOND))
    reader = venue.reader()
    first, second = await reader.since(None), await reader.since(None)
    assert first == second
    assert first.trades == ()
    assert await reader.since(first.cursor) == first


async def test_what_was_there_at_a_fresh_beginning_is_never_reported() -> None:
    venue = List(fill("a", SECOND), fill("b", 2 * SECOND))
    cursor = (await venue.reader().since(None)).cursor
    venue.fills += [fill("c", 2 * SECOND), fill("d", 3 * SECOND)]  # "c": of the same microsecond
    page = await venue.reader().since(cursor)  # restarted
    assert ids(page) == ["c", "d"]
    assert [t.client_id for t in page.trades] == ["tp-order-of-c", "tp-order-of-d"]
    assert ids(await venue.reader().since(page.cursor)) == ["c", "d"]  # and not "a", "b"


async def test_without_any_fill_it_begins_with_the_first_one() -> None:
    venue = List()
    reader = venue.reader()
    cursor = (await reader.since(None)).cursor
    assert (await reader.since(cursor)).cursor == cursor
    venue.fills.append(fill("a", 5))
    assert ids(await reader.since(cursor)) == ["a"]


async def test_a_page_that_was_not_booked_is_reported_again() -> None:
    venue = List(fill("a", SECOND))
    reader = venue.reader()
    start = '{"t":0,"n":0}'
    first = await reader.since(start)
    again = await reader.since(start)  # whoever asked failed before booking
    assert ids(first) == ids(again) == ["a"]
    assert ids(await reader.since(again.cursor)) == []


async def test_a_fill_that_appears_late_is_reported() -> None:
    venue = List(fill("b", 20 * SECOND))
    reader = venue.reader()
    page = await reader.since('{"t":0,"n":0}')
    venue.fills += [fill("a", 1 * SECOND), fill("c", 20 * SECOND)]
    late = await reader.since(page.cursor)
    assert ids(late) == ["a", "c"]
    assert Cursor.parse(late.cursor).newest == 20 * SECOND
    assert late.cursor != page.cursor
    assert ids(await reader.since(late.cursor)) == []


async def test_it_asks_from_one_overlap_before_the_newest() -> None:
    venue = List(fill("a", 100 * SECOND))
    reader = venue.reader()
    page = await reader.since('{"t":0,"n":0}')
    await reader.since(page.cursor)
    assert venue.asked == [0, 100 * SECOND - OVERLAP]


async def test_after_a_restart_it_tells_no_more_than_a_book_remembers() -> None:
    assert MAX_REPEATED < KEEP_TRADES
    many = [fill(f"{n:05}", 10 * SECOND + n) for n in range(3_000)]
    cursor = str(Cursor(10 * SECOND + 2_999, 7))
    venue = List(*many, fill("new", 11 * SECOND))
    told = ids(await venue.reader().since(cursor))
    assert told == [f"{n:05}" for n in range(3_000 - MAX_REPEATED, 3_000)] + ["new"]


@pytest.mark.parametrize("text", ["", "17", "[]", '{"t":"x","n":1}', '{"n":1}', '{"t":1,"n":null}'])
async def test_a_cursor_of_another_venue_is_refused(text: str) -> None:
    with pytest.raises(OutcomeUnknown, match="is not one of Coinbase's"):
        await List().reader().since(text)


@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 60))
async def test_every_fill_is_booked_once_whatever_happens(seed: int, steps: int) -> None:
    """Fills that appear late and in any order, several at one time, pages that are lost before
    they are booked, restarts: a book that remembers its trades ends up complete."""
    chance = random.Random(seed)
    venue = List(*(fill(f"old-{n}", n) for n in range(chance.randint(0, 3))))
    reader = venue.reader()
    cursor = (await reader.since(None)).cursor
    booked: list[str] = []
    now = 10
    for step in range(steps):
        now += chance.choice((0, 0, 1, SECOND, OVERLAP // 2))
        late = chance.choice((0, 0, min(now - 4, OVERLAP - 1)))
        venue.fills.append(fill(f"new-{step}", now - chance.randint(0, late)))
        if chance.random() < 0.2:
            reader = venue.reader()
        if chance.random() < 0.6:
            page = await reader.since(cursor)
            if chance.random() < 0.8:  # else lost before it was booked
                booked += [entry for entry in ids(page) if entry not in booked]
                cursor = page.cursor
    while (page := await reader.since(cursor)).trades:
        booked += [entry for entry in ids(page) if entry not in booked]
        cursor = page.cursor
    assert sorted(booked) == sorted(f"new-{step}" for step in range(steps))
