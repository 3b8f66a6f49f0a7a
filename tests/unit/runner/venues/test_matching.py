"""The order book and its matching, which the venues' oracle compares with another engine."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.venues
from tradepulse_runner.venues import matching
from tradepulse_runner.venues.matching import ZERO, Book, Incoming, Plan, SelfTrade, plan


@dataclass(slots=True)
class Order:
    id: int
    buys: bool
    price: Decimal
    remaining: Decimal
    account: str = ""


def order(number: int, side: str, price: int, quantity: int, account: str = "") -> Order:
    return Order(number, side == "buy", Decimal(price), Decimal(quantity), account)


def met(book: Book[Order], taker: Order, self_trade: SelfTrade = SelfTrade.NONE) -> Plan[Order]:
    """What ``taker`` meets in ``book``, carried out."""
    incoming = Incoming(
        taker.account, taker.buys, taker.price, taker.remaining, self_trade=self_trade
    )
    done = plan(book, incoming)
    for match in done.matches:
        match.maker.remaining -= match.quantity
        taker.remaining -= match.quantity
        if not match.maker.remaining:
            book.remove(match.maker)
    return done


@given(
    st.lists(
        st.tuples(st.sampled_from(["buy", "sell"]), st.integers(95, 105), st.integers(1, 5)),
        max_size=40,
    )
)
def test_matching_conserves_quantity_and_never_leaves_a_crossed_book(
    wanted: list[tuple[str, int, int]],
) -> None:
    book = Book[Order]()
    traded = {True: ZERO, False: ZERO}
    everyone = []
    for number, (side, price, quantity) in enumerate(wanted, 1):
        taker = order(number, side, price, quantity)
        everyone.append((taker, Decimal(quantity)))
        for match in met(book, taker).matches:
            assert match.price <= taker.price if taker.buys else match.price >= taker.price
            traded[True] += match.quantity
            traded[False] += match.quantity
        if taker.remaining:
            book.add(taker)
        bid, ask = book.best(buys=True), book.best(buys=False)
        assert bid is None or ask is None or bid < ask
    for buys in (True, False):
        assert sum((q - t.remaining for t, q in everyone if t.buys is buys), ZERO) == traded[buys]
        rests = sum((quantity for _, quantity in book.depth(99, buys=buys)), ZERO)
        assert rests == sum((t.remaining for t, _ in everyone if t.buys is buys), ZERO)


@pytest.mark.parametrize("arrived", [(1, 2, 3), (3, 2, 1)])
def test_best_price_first_then_the_oldest(arrived: tuple[int, ...]) -> None:
    book = Book[Order]()
    prices = {1: 101, 2: 100, 3: 100}
    for number in arrived:
        book.add(order(number, "sell", prices[number], 1))
    taker = Order(9, True, Decimal(101), Decimal("2.5"))
    assert [(match.maker.id, match.quantity) for match in met(book, taker).matches] == [
        (2, Decimal(1)),
        (3, Decimal(1)),
        (1, Decimal("0.5")),
    ]


@pytest.mark.parametrize(
    ("mode", "matched", "expired", "taker_expired"),
    [
        (SelfTrade.NONE, [1, 2], [], False),
        (SelfTrade.EXPIRE_TAKER, [], [], True),
        (SelfTrade.EXPIRE_MAKER, [2], [1], False),
        (SelfTrade.EXPIRE_BOTH, [], [1], True),
    ],
)
def test_an_order_that_meets_one_of_its_own_account(
    mode: SelfTrade, matched: list[int], expired: list[int], taker_expired: bool
) -> None:
    book = Book[Order]()
    book.add(order(1, "sell", 100, 1, "me"))
    book.add(order(2, "sell", 101, 1, "other"))
    found = met(book, order(3, "buy", 101, 2, "me"), mode)
    assert [match.maker.id for match in found.matches] == matched
    assert [each.id for each in found.expired] == expired
    assert found.taker_expired is taker_expired


def test_a_plan_changes_nothing() -> None:
    book = Book[Order]()
    book.add(order(1, "sell", 100, 2))
    found = plan(book, Incoming("me", buys=True, quantity=Decimal(5)))
    assert found.quantity == 2
    assert found.cost == 200
    assert book.depth(9, buys=False) == [(Decimal(100), Decimal(2))]


def test_an_order_by_what_it_spends_takes_whole_lots() -> None:
    book = Book[Order]()
    book.add(order(1, "sell", 100, 2))
    book.add(order(2, "sell", 110, 2))
    lot = Decimal("0.5")
    spends = Incoming("me", buys=True, quote_quantity=Decimal(280), lot=lot)
    assert [match.quantity for match in plan(book, spends).matches] == [2, Decimal("0.5")]
    spends = Incoming("me", buys=True, quote_quantity=Decimal(530), lot=lot)
    assert plan(book, spends).unmet == 1  # 110 are left, at 110


# -- who shares it -----------------------------------------------------------------------------

_PURE = {"bisect", "collections", "dataclasses", "decimal", "enum", "typing"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            # `from package import module` is an import of that module, too.
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_matching_is_pure_and_knows_nothing_of_the_runner() -> None:
    found = {name.split(".")[0] for name in imports(Path(matching.__file__))}
    assert found - {"__future__"} <= _PURE <= sys.stdlib_module_names


def test_the_venues_that_judge_the_programs_share_their_matching_and_nothing_else() -> None:
    """A mistake in a connector must not be made twice, once on each side of the wire."""
    folder = Path(tests.support.venues.__file__).parent
    shared = [
        (path.parent.name, name)
        for path in folder.rglob("*.py")
        for name in imports(path)
        if name.split(".")[0].startswith("tradepulse")
    ]
    assert ("exchange", matching.__name__) in shared
    for room, name in shared:
        assert room == "exchange", f"{room} imports {name}"
        assert (name + ".").startswith(f"{matching.__name__}."), f"{room} imports {name}"


def test_nor_does_it_reach_them_through_other_tests() -> None:
    """What the venues of the kit import of ``tests`` is of ``tests.support.venues`` itself, or is
    tooling that imports no program either."""
    folder = Path(tests.support.venues.__file__).parent
    todo, seen = list(folder.rglob("*.py")), set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        names = list(imports(path))
        if not path.is_relative_to(folder):
            assert not [name for name in names if name.startswith("tradepulse")], path
        todo += [file for name in names if (file := _file(name)) is not None]
    assert len(seen) > 30


def _file(name: str) -> Path | None:
    """The module of ``tests`` with that name; None for another, or for a name in one."""
    if not name.startswith("tests."):
        return None
    place = Path(tests.support.venues.__file__).parents[2].joinpath(*name.split("."))
    return next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.exists()), None)
