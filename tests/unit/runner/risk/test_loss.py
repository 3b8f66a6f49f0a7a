"""What counts as the day's loss of a runner, over venues, currencies, days and missing prices."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runner.runner_fixtures import limits
from tradepulse_runner.currency import quote_currency
from tradepulse_runner.domain import Quote
from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.oms.state import OmsState

DAY = 86_400.0


class Clock:
    now = 20_000 * DAY + 3600

    def __call__(self) -> float:
        return self.now


class Books:
    """The part of an Oms that the breaker uses, without its disk."""

    def __init__(self) -> None:
        self.state = OmsState()

    def start_day(self, day: str, equity: Decimal) -> None:
        self.state.apply({"t": "day", "day": day, "equity": str(equity)})


class Market:
    """Quotes that a test sets; None: the venue has no price."""

    def __init__(self) -> None:
        self.mids: dict[str, Decimal | None] = {}

    def quote(self, symbol: str) -> Quote | None:
        mid = self.mids.get(symbol)
        return None if mid is None else Quote(mid, mid, 0.0)


def venue(name: str, *symbols: str) -> Any:
    found = SimpleNamespace(name=name, symbols=frozenset(symbols), oms=Books(), connector=Market())
    for symbol in symbols:
        found.connector.mids[symbol] = Decimal(100)
    return found


def watch(clock: Clock, *venues: Any, **changes: object) -> DailyLoss:
    given = {"max_daily_loss": "100", **changes}
    return DailyLoss(limits(**given), {v.name: v for v in venues}, TradingState(), clock=clock)


def holds(of: Any, symbol: str, quantity: int) -> None:
    of.oms.state.apply({"t": "adjust", "symbol": symbol, "quantity": str(quantity), "price": "100"})


def test_gains_at_one_venue_stand_against_losses_at_another() -> None:
    """The two legs of one trade."""
    long, short = venue("a", "BTC-USD"), venue("b", "BTC-USD")
    loss = watch(Clock(), long, short)
    holds(long, "BTC-USD", 10)
    holds(short, "BTC-USD", -10)
    assert [loss.broken("a"), loss.broken("b")] == ["", ""]
    for one in (long, short):
        one.connector.mids["BTC-USD"] = Decimal(50)
    # Whichever is polled first: the other's gain is seen at the same prices.
    assert loss.broken("a") == ""
    assert loss.broken("b") == ""


def test_losses_of_all_venues_add_up() -> None:
    both = [venue("a", "BTC-USD"), venue("b", "ETH-USD")]
    loss = watch(Clock(), *both)
    for one, symbol in zip(both, ("BTC-USD", "ETH-USD"), strict=True):
        holds(one, symbol, 10)
        assert loss.broken(one.name) == ""
    both[0].connector.mids["BTC-USD"] = Decimal(95)
    assert loss.broken("a") == ""
    both[1].connector.mids["ETH-USD"] = Decimal(95)
    why = loss.broken("b")
    assert why.startswith("daily loss of 100 USD")
    assert "a 50" in why
    assert "b 50" in why


def test_venues_of_another_currency_are_counted_by_themselves() -> None:
    both = [venue("a", "BTC-USD"), venue("b", "BTCUSDT")]
    loss = watch(Clock(), *both)
    for one, symbol in zip(both, ("BTC-USD", "BTCUSDT"), strict=True):
        holds(one, symbol, 10)
        loss.broken(one.name)
        one.connector.mids[symbol] = Decimal(91)
    assert [loss.broken("a"), loss.broken("b")] == ["", ""]
    both[1].connector.mids["BTCUSDT"] = Decimal(90)
    assert "USDT" in loss.broken("b")


def test_a_venue_without_a_price_keeps_the_loss_that_was_seen_last() -> None:
    both = [venue("a", "BTC-USD"), venue("b", "ETH-USD")]
    loss = watch(Clock(), *both)
    for one, symbol in zip(both, ("BTC-USD", "ETH-USD"), strict=True):
        holds(one, symbol, 10)
        loss.broken(one.name)
    both[0].connector.mids["BTC-USD"] = Decimal(93)
    assert loss.broken("a") == ""
    both[0].connector.mids["BTC-USD"] = None
    assert loss.broken("a") == ""
    both[1].connector.mids["ETH-USD"] = Decimal(97)
    assert "loss of 100" in loss.broken("a")


def test_the_next_day_begins_anew_also_for_a_venue_that_is_not_there_yet() -> None:
    clock, both = Clock(), [venue("a", "BTC-USD"), venue("b", "ETH-USD")]
    loss = watch(clock, *both)
    for one, symbol in zip(both, ("BTC-USD", "ETH-USD"), strict=True):
        holds(one, symbol, 10)
        loss.broken(one.name)
    both[0].connector.mids["BTC-USD"] = Decimal(91)
    assert loss.broken("a") == ""
    clock.now += DAY
    assert loss.broken("b") == ""
    both[1].connector.mids["ETH-USD"] = Decimal("90.5")
    assert loss.broken("b") == ""  # 95 today; the 90 that "a" lost were yesterday's
    both[1].connector.mids["ETH-USD"] = Decimal(80)
    assert "loss of 200" in loss.broken("b")


def test_a_restart_in_the_middle_of_the_day_does_not_forget() -> None:
    clock, one = Clock(), venue("a", "BTC-USD")
    before = watch(clock, one)
    holds(one, "BTC-USD", 10)
    before.broken("a")
    one.connector.mids["BTC-USD"] = Decimal(90)
    assert watch(clock, one).broken("a")  # the books keep the day's beginning


def test_a_soft_breach_holds_until_the_day_ends_whatever_is_won_back() -> None:
    clock, one = Clock(), venue("a", "BTC-USD")
    loss = watch(clock, one, soft_daily_loss="50")
    holds(one, "BTC-USD", 10)
    loss.broken("a")
    one.connector.mids["BTC-USD"] = Decimal("95.01")
    assert loss.broken("a") == ""
    assert loss.soft_breach == ""
    one.connector.mids["BTC-USD"] = Decimal(95)
    assert loss.broken("a") == ""
    assert "daily loss of 50" in loss.soft_breach
    one.connector.mids["BTC-USD"] = Decimal(110)
    loss.broken("a")
    assert loss.soft_breach
    clock.now += DAY
    assert loss.soft_breach == ""


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_with_one_venue_it_breaks_exactly_at_the_limit(prices: list[int]) -> None:
    one = venue("a", "BTC-USD")
    loss = watch(Clock(), one)
    holds(one, "BTC-USD", 2)
    loss.broken("a")
    for price in prices:
        one.connector.mids["BTC-USD"] = Decimal(price)
        assert bool(loss.broken("a")) == (price <= 50)


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        ("BTC-USD", "USD"),
        ("ETH/EUR", "EUR"),
        ("BTC-PERP-USDC", "USDC"),
        ("BTCUSDT", "USDT"),
        ("BTCUSD", "USD"),
        ("ETHBTC", "BTC"),
        ("USDTTRY", "TRY"),
        ("USDT", ""),
        ("X", ""),
        ("", ""),
    ],
)
def test_the_currency_a_symbol_is_paid_in(symbol: str, wanted: str) -> None:
    assert quote_currency(symbol) == wanted


def test_the_share_of_the_limit_is_that_of_the_worst_currency_and_none_for_a_gain() -> None:
    clock, both = Clock(), [venue("a", "BTC-USD"), venue("b", "BTCUSDT")]
    loss = watch(clock, *both)
    for one, symbol in zip(both, ("BTC-USD", "BTCUSDT"), strict=True):
        holds(one, symbol, 10)
        loss.broken(one.name)
    assert loss.share == 0.0
    both[0].connector.mids["BTC-USD"] = Decimal(98)
    both[1].connector.mids["BTCUSDT"] = Decimal(95)
    loss.broken("a")
    assert loss.share == 0.5
    both[1].connector.mids["BTCUSDT"] = Decimal(200)
    loss.broken("b")
    assert loss.share == 0.2
    clock.now += DAY
    assert loss.share == 0.0
