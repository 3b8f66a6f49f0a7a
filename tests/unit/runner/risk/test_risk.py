"""No order passes a limit it breaks, whatever else is open; and nothing goes round the gate."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tradepulse_runner
from tests.support.runner.runner_fixtures import SYMBOL, limits
from tradepulse_runner.domain import Instrument, Order, OrderStatus, OrderType, Quote, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms.state import Exposure, OrderRecord
from tradepulse_runner.risk.manager import MAX_QUOTE_AGE, OUTCOMES, RiskManager, RiskView
from tradepulse_runner.risk.reducing import growing

QUOTE = Quote(Decimal(999), Decimal(1001), 100.0)
MARK = Decimal(1000)
STEPS = Instrument(tick=Decimal("0.5"), lot=Decimal("0.01"))
KEY = ("paper", SYMBOL)
amounts = st.decimals("0.01", "8", places=2)


def view(
    position: str | Decimal = "0",
    buying: str | Decimal = "0",
    selling: str | Decimal = "0",
    quote: Quote | None = QUOTE,
    steps: Instrument | None = STEPS,
    reducing: bool = False,
) -> RiskView:
    held = Exposure(Decimal(position), Decimal(buying), Decimal(selling))
    return RiskView(quote, {KEY: held}, {KEY: MARK}, frozenset({SYMBOL}), steps, reducing)


def order(quantity: str | Decimal = "1", side: Side = Side.BUY, price: str = "1000") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), price=Decimal(price))


def manager(**changes: object) -> RiskManager:
    return RiskManager(limits(**changes), clock=lambda: 100.0)


FAR: dict[str, object] = {"max_position": "100"}
SPOT = Instrument(STEPS.tick, STEPS.lot, shortable=False)
SMALL = Instrument(STEPS.tick, STEPS.lot, Decimal("0.1"), Decimal(500))

REFUSALS: list[tuple[str, Order, RiskView, dict[str, object]]] = [
    ("symbol", Order("ETH-USD", Side.BUY, Decimal(1), price=Decimal(1)), view(), {}),
    ("instrument", order(), view(steps=None), {}),
    ("tick_size", order(price="1000.25"), view(), {}),
    ("lot_size", order("0.015"), view(), {}),
    ("lot_size", Order(SYMBOL, Side.BUY, Decimal("0.015"), OrderType.MARKET), view(), {}),
    ("min_quantity", order("0.09"), view(steps=SMALL), {}),
    ("min_notional", order("0.49"), view(steps=SMALL), {}),
    ("min_notional", Order(SYMBOL, Side.SELL, Decimal("0.5"), OrderType.MARKET),
     view("1", steps=SMALL), {}),
    ("reference_price", order(), view(quote=None), {}),
    ("reference_price", order(), view(quote=Quote(QUOTE.bid, QUOTE.ask, 89.0)), {}),
    ("price_collar", order(price="1051"), view(), {}),
    ("price_collar", order(price="949", side=Side.SELL), view(), {}),
    ("price_collar", Order(SYMBOL, Side.BUY, Decimal(1), OrderType.MARKET),
     view(quote=Quote(Decimal(900), Decimal(1100), 100.0)), {}),
    ("max_order_quantity", order("2.01"), view(), {"max_order_quantity": "2"}),
    ("max_order_notional", order("21"), view(), FAR),
    ("max_position", order("5.01"), view(), {}),
    ("max_position", order("1"), view("4.5"), {}),
    ("max_position", order("1"), view("2", buying="2.5"), {}),
    ("max_position", order("1", Side.SELL), view("-2", selling="2.5"), {}),
    ("max_notional", order("2"), view("2"), {"max_notional": "3500", "max_order_notional": "3000"}),
    ("short_sale", order("0.01", Side.SELL), view(steps=SPOT), {}),
    ("short_sale", order("1.01", Side.SELL), view("1", steps=SPOT), {}),
    ("short_sale", order("0.5", Side.SELL), view("1", selling="0.51", steps=SPOT), {}),
    # What is only on its way can't be sold yet.
    ("short_sale", order("0.5", Side.SELL), view("0", buying="1", steps=SPOT), {}),
    ("reduce_only", order("0.01"), view(reducing=True), {}),
    ("reduce_only", order("0.01"), view("1", reducing=True), {}),
    ("reduce_only", order("1.01", Side.SELL), view("1", reducing=True), {}),
    ("reduce_only", order("0.5", Side.SELL), view("1", selling="0.51", reducing=True), {}),
    ("reduce_only", order("0.5"), view("-1", buying="0.51", reducing=True), {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "wanted", "seen", "changes"), REFUSALS)
def test_each_limit_refuses_by_its_name(
    rule: str, wanted: Order, seen: RiskView, changes: dict[str, object]
) -> None:
    with pytest.raises(RiskRejected) as caught:
        manager(**changes).validate("paper", wanted, seen)
    assert caught.value.rule == rule
    assert rule in OUTCOMES


PASSES: list[tuple[Order, RiskView]] = [
    (order("5"), view()),
    (order("1", Side.SELL), view("6")),  # beyond the limit, but it reduces
    (order(price="1050"), view()),
    (order(price="950", side=Side.SELL), view()),
    (Order(SYMBOL, Side.BUY, Decimal(1), OrderType.MARKET), view()),
    (order("1"), view(quote=Quote(QUOTE.bid, QUOTE.ask, 100.0 - MAX_QUOTE_AGE))),
    (order("0.5"), view(steps=SMALL)),
    (order("1", Side.SELL), view("1", steps=SPOT)),
    (order("1", Side.SELL), view("1", reducing=True)),
    (order("1"), view("-1", reducing=True)),
    (order("0.5", Side.SELL), view("1", buying="3", selling="0.5", reducing=True)),
]


@pytest.mark.parametrize(("wanted", "seen"), PASSES)
def test_what_keeps_every_limit_passes(wanted: Order, seen: RiskView) -> None:
    manager().validate("paper", wanted, seen)


@given(
    position=st.decimals("-8", "8", places=2),
    buying=amounts,
    selling=amounts,
    quantity=amounts,
    side=st.sampled_from(Side),
)
def test_a_passed_order_cannot_bring_the_position_over_the_limit(
    position: Decimal, buying: Decimal, selling: Decimal, quantity: Decimal, side: Side
) -> None:
    try:
        manager().validate("paper", order(quantity, side), view(position, buying, selling))
    except RiskRejected:
        return
    if side is Side.BUY:
        assert position + buying + quantity <= 5
    else:
        assert position - selling - quantity >= -5
    assert quantity * 1000 <= 20_000


def test_an_order_may_be_as_large_as_the_limit() -> None:
    manager(max_order_quantity="2").validate("paper", order("2"), view())


# -- how many, and how many of the same ----------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans()), min_size=1, max_size=200))
def test_the_throttle_never_lets_more_of_a_kind_through_in_any_window(
    steps: list[tuple[float, bool]],
) -> None:
    clock = Clock()
    risk = RiskManager(limits(max_orders_per_interval=3, interval_seconds=1), clock=clock)
    passed: dict[bool, list[float]] = {True: [], False: []}
    for gap, is_cancel in steps:
        clock.now += gap
        full = sum(1 for t in passed[is_cancel] if t > clock.now - 1) >= 3
        try:
            risk.admit_cancel() if is_cancel else risk.admit("paper", order())
        except RiskRejected:
            assert full, "refused although there was room"
            continue
        passed[is_cancel].append(clock.now)
    for times in passed.values():
        for start in times:
            assert sum(1 for t in times if start <= t < start + 1) <= 3


def test_orders_that_used_their_allowance_up_leave_the_cancels_theirs() -> None:
    risk = manager(max_orders_per_interval=2)
    for _ in range(2):
        risk.admit("paper", order())
    with pytest.raises(RiskRejected) as caught:
        risk.admit("paper", order())
    assert caught.value.rule == "max_orders_per_interval"
    for _ in range(2):
        risk.admit_cancel()
    with pytest.raises(RiskRejected) as caught:
        risk.admit_cancel()
    assert caught.value.rule == "max_cancels_per_interval"
    assert caught.value.rule in OUTCOMES


def test_so_many_of_the_same_in_the_window_and_no_more() -> None:
    clock = Clock()
    risk = RiskManager(limits(duplicate_window=2, max_duplicates=2), clock=clock)
    risk.admit("paper", order())
    clock.now += 1
    risk.admit("paper", order())
    with pytest.raises(RiskRejected) as caught:
        risk.admit("paper", order())
    assert caught.value.rule == "max_duplicates"
    assert caught.value.rule in OUTCOMES
    for other in (order("2"), order(side=Side.SELL), order(price="1001")):
        risk.admit("paper", other)
    risk.admit("elsewhere", order())
    clock.now += 1  # the first one left the window
    risk.admit("paper", order())
    with pytest.raises(RiskRejected):
        risk.admit("paper", order())


def test_a_quantity_written_in_another_way_is_the_same() -> None:
    risk = manager(duplicate_window=1, max_duplicates=1)
    risk.admit("paper", order("1"))
    with pytest.raises(RiskRejected):
        risk.admit("paper", order("1.00", price="1000.0"))


def test_a_refused_duplicate_uses_no_allowance() -> None:
    risk = manager(duplicate_window=1, max_duplicates=1, max_orders_per_interval=2)
    risk.admit("paper", order())
    for _ in range(5):
        with pytest.raises(RiskRejected, match="orders like buy 1"):
            risk.admit("paper", order())
    risk.admit("paper", order("2"))


# -- refusals that add up --------------------------------------------------------------------------


def refusal(risk: RiskManager, wanted: Order) -> str:
    with pytest.raises(RiskRejected) as caught:
        risk.validate("paper", wanted, view())
    return risk.refused(caught.value)


ABSURD = [order("30"), order(price="1075"), order("3.5")]


@pytest.mark.parametrize("wanted", ABSURD)
def test_three_absurd_orders_in_a_row_engage_the_kill_switch(wanted: Order) -> None:
    risk = manager(max_order_quantity="2")
    assert [refusal(risk, wanted) for _ in range(2)] == ["", ""]
    assert "3 absurd orders in a row" in refusal(risk, wanted)
    assert refusal(risk, wanted) == ""  # a reset by a person begins anew


def test_an_order_that_passes_between_them_begins_anew() -> None:
    risk = manager()
    for _ in range(5):
        assert [refusal(risk, ABSURD[0]) for _ in range(2)] == ["", ""]
        risk.admit("paper", order())


@pytest.mark.parametrize("wanted", [order("29"), order(price="1074"), order("5.5")])
def test_what_is_less_than_half_again_too_much_never_does(wanted: Order) -> None:
    risk = manager()
    assert {refusal(risk, wanted) for _ in range(50)} == {""}


def test_a_full_position_never_does() -> None:
    """However far: a strategy that goes on wanting more is refused, that is all."""
    risk = manager(max_position="0.1")
    assert {refusal(risk, order("5")) for _ in range(50)} == {""}


def test_a_foreign_instrument_counts() -> None:
    risk = manager()
    foreign = Order("ETH-USD", Side.BUY, Decimal(1), price=Decimal(1))
    assert [bool(refusal(risk, foreign)) for _ in range(3)] == [False, False, True]


def test_thresholds_of_0_never_trip() -> None:
    risk = manager(kill_switch_violation_threshold=0)
    assert {refusal(risk, ABSURD[0]) for _ in range(50)} == {""}


def held_back(risk: RiskManager, times: int = 50) -> set[str]:
    found = set()
    for _ in range(times):
        try:
            risk.admit("paper", order())
        except RiskRejected as exc:
            found.add(risk.refused(exc))
    return found


def test_many_intervals_in_a_row_with_orders_held_back_engage_the_kill_switch() -> None:
    clock = Clock()
    changes = {"max_orders_per_interval": 2, "kill_switch_rate_limit_threshold": 3}
    risk = RiskManager(limits(**changes), clock=clock)
    for _ in range(2):
        assert held_back(risk) == {""}
        clock.now += 1
    assert any("3 intervals in a row" in why for why in held_back(risk))


def test_a_burst_now_and_then_does_not() -> None:
    clock = Clock()
    changes = {"max_orders_per_interval": 2, "kill_switch_rate_limit_threshold": 3}
    risk = RiskManager(limits(**changes), clock=clock)
    for _ in range(10):
        for _ in range(2):
            assert held_back(risk) == {""}
            clock.now += 1
        clock.now += 1


# -- reducing ------------------------------------------------------------------------------------


def worst(held: Exposure) -> Decimal:
    return max(abs(held.position + held.buying), abs(held.position - held.selling))


class Book:
    """One symbol's position and resting orders, as the venue would move them."""

    def __init__(self, position: Decimal, resting: list[tuple[Side, Decimal]]) -> None:
        self.position = position
        self.resting = list(resting)

    def exposure(self) -> Exposure:
        of = {side: sum((q for s, q in self.resting if s is side), Decimal(0)) for side in Side}
        return Exposure(self.position, of[Side.BUY], of[Side.SELL])

    def fill(self, index: int, share: Decimal) -> None:
        side, quantity = self.resting.pop(index)
        self.position += side.sign * quantity * share
        if share < 1:
            self.resting.append((side, quantity * (1 - share)))


def refused_by(risk: RiskManager, wanted: Order, seen: RiskView) -> str:
    try:
        risk.validate("paper", wanted, seen)
    except RiskRejected as exc:
        return exc.rule
    return ""


moves = st.one_of(
    st.tuples(st.just("place"), st.sampled_from(Side), st.decimals("0.01", "9", places=2)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.sampled_from([Decimal("0.5"), Decimal(1)])),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.none()),
)


@given(
    position=st.decimals("-5", "5", places=2),
    resting=st.lists(st.tuples(st.sampled_from(Side), amounts), max_size=4),
    script=st.lists(moves, max_size=40),
)
def test_no_sequence_of_orders_while_reducing_raises_the_worst_case(
    position: Decimal, resting: list[tuple[Side, Decimal]], script: list[tuple[str, Any, Any]]
) -> None:
    """Orders, partial fills and cancels in any order, from any book whatever."""
    book, risk = Book(position, resting), manager(max_position="1000", max_notional="9000000")
    most = worst(book.exposure())
    placed: list[tuple[Side, Decimal]] = []
    for move, first, second in script:
        if move == "place":
            held = book.exposure()
            seen = RiskView(QUOTE, {KEY: held}, {KEY: MARK}, frozenset({SYMBOL}), STEPS, True)
            if refused_by(risk, order(second, first), seen) == "reduce_only":
                continue
            placed.append((first, second))
            book.resting.append((first, second))
            assert worst(book.exposure()) <= worst(held)
        elif first < len(book.resting):
            if move == "fill":
                book.fill(first, second)
            else:
                book.resting.pop(first)
        assert worst(book.exposure()) <= most
        assert abs(book.position) <= most


@given(
    position=st.decimals("-5", "5", places=2),
    resting=st.lists(st.tuples(st.sampled_from(Side), amounts), max_size=6),
    order_of_fills=st.permutations(range(6)),
)
def test_what_is_left_resting_while_reducing_only_reduces(
    position: Decimal, resting: list[tuple[Side, Decimal]], order_of_fills: list[int]
) -> None:
    records = [
        OrderRecord(str(n), order(quantity, side), OrderStatus.OPEN, 1, 0.0)
        for n, (side, quantity) in enumerate(resting)
    ]
    gone = growing(records, {SYMBOL: position})
    left = [r for r in records if r.client_id not in gone]
    held = position
    for index in order_of_fills:
        if index < len(left):
            after = held + left[index].order.side.sign * left[index].remaining
            assert abs(after) < abs(held)
            held = after
    # And no more is cancelled than has to be: each would lead past zero, or away from it.
    for record in records:
        if record.client_id in gone:
            others = sum(
                (r.remaining for r in left if r.order.side is record.order.side), Decimal(0)
            )
            side = record.order.side.sign
            assert position * side >= 0 or abs(position) < others + record.remaining


def test_orders_leave_in_one_place_only() -> None:
    """The last gate is the only caller of ``place_order``; wrappers of connectors pass it on."""
    calls = []
    root = Path(tradepulse_runner.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "place_order":
                calls.append(str(path.relative_to(root)))
    assert set(calls) == {
        "live/submission.py",
        "venues/fenced.py",
        "venues/forwarding.py",
    }
    assert calls.count("live/submission.py") == 1
