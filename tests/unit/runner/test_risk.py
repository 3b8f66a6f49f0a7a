"""No order passes a limit it breaks, whatever else is open; and nothing goes round the gate."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tradepulse_runner
from tests.unit.runner.kit import SYMBOL, limits
from tradepulse_runner.domain import ZERO, Order, OrderType, Quote, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms_state import Exposure
from tradepulse_runner.risk import MAX_QUOTE_AGE, OUTCOMES, RiskManager, RiskView

QUOTE = Quote(Decimal(999), Decimal(1001), 100.0)
KEY = ("paper", SYMBOL)
amounts = st.decimals("0.01", "8", places=2)


def view(
    position: str | Decimal = "0",
    buying: str | Decimal = "0",
    selling: str | Decimal = "0",
    quote: Quote | None = QUOTE,
) -> RiskView:
    held = Exposure(Decimal(position), Decimal(buying), Decimal(selling))
    return RiskView(quote, {KEY: held}, {KEY: Decimal(1000)}, frozenset({SYMBOL}))


def order(quantity: str | Decimal = "1", side: Side = Side.BUY, price: str = "1000") -> Order:
    return Order(SYMBOL, side, Decimal(quantity), price=Decimal(price))


def manager(**changes: object) -> RiskManager:
    return RiskManager(limits(**changes), clock=lambda: 100.0)


REFUSALS: list[tuple[str, Order, RiskView, dict[str, object]]] = [
    ("symbol", Order("ETH-USD", Side.BUY, Decimal(1), price=Decimal(1)), view(), {}),
    ("reference_price", order(), view(quote=None), {}),
    ("reference_price", order(), view(quote=Quote(QUOTE.bid, QUOTE.ask, 89.0)), {}),
    ("price_collar", order(price="1051"), view(), {}),
    ("price_collar", order(price="949", side=Side.SELL), view(), {}),
    ("max_order_notional", order("21"), view(), {"max_position": "100"}),
    ("max_position", order("5.01"), view(), {}),
    ("max_position", order("1"), view("4.5"), {}),
    ("max_position", order("1"), view("2", buying="2.5"), {}),
    ("max_position", order("1", Side.SELL), view("-2", selling="2.5"), {}),
    ("max_notional", order("2"), view("2"), {"max_notional": "3500", "max_order_notional": "3000"}),
]


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


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_throttle_never_lets_more_through_in_any_window(gaps: list[float]) -> None:
    now, passed = 0.0, []

    def clock() -> float:
        return now

    risk = RiskManager(limits(max_orders_per_interval=3, interval_seconds=1), clock=clock)
    for gap in gaps:
        now += gap
        try:
            risk.throttle()
        except RiskRejected:
            continue
        passed.append(now)
    for start in passed:
        assert sum(1 for t in passed if start <= t < start + 1) <= 3


@pytest.mark.parametrize(("equity", "broken"), [("0", False), ("-9999", False), ("-10000", True)])
def test_daily_loss_breaks_at_the_limit(equity: str, broken: bool) -> None:
    assert manager().daily_loss_broken(ZERO, Decimal(equity)) is broken


def test_orders_leave_in_one_place_only() -> None:
    """The last gate is the only caller of ``place_order``; wrappers of connectors pass it on."""
    calls = []
    root = Path(tradepulse_runner.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "place_order":
                calls.append(str(path.relative_to(root)))
    assert set(calls) == {"submission.py", "regressions.py", "venues/fenced.py"}
    assert calls.count("submission.py") == 1
