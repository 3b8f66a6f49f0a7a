"""The paper venue: honest matching, repeatable from its seed, and it never forgets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.runner.runner_fixtures import SYMBOL, market, world
from tradepulse_runner.domain import ZERO, Order, OrderStatus, Side
from tradepulse_runner.errors import ConfigError, OrderNotFound, OrderRejected
from tradepulse_runner.venues.paper_exchange import PaperExchange
from tradepulse_runner.venues.prices import (
    RandomWalk,
    RecordedCandles,
    find_recorded,
    load_candles,
)


def ticked(path: Path, seed: int = 3) -> PaperExchange:
    venue = world(path, lambda: 0.0, seed=seed)
    venue.tick()
    return venue


def limit(venue: PaperExchange, side: Side, quantity: str, through: str = "0") -> Order:
    quote = venue.quote(SYMBOL)
    assert quote is not None
    touch = quote.ask if side is Side.BUY else quote.bid
    price = touch * (1 + side.sign * Decimal(through))
    return Order(
        SYMBOL, side, Decimal(quantity), price=price.quantize(venue.instrument(SYMBOL).tick)
    )


def play(venue: PaperExchange) -> list[object]:
    """A session of passive, crossing and cancelled orders; what the venue said."""
    said: list[object] = []
    for number in range(150):
        venue.tick()
        side = Side.BUY if number % 2 else Side.SELL
        through = "0.0001" if number % 5 == 0 else "-0.0003"
        said.append(venue.place(f"c{number}", limit(venue, side, "0.05", through)))
        if number % 7 == 0:
            said.append(venue.cancel(f"c{max(0, number - 3)}"))
    return [*said, venue.positions(), venue.trades_since(0)]


def test_the_same_seed_gives_the_same_session(tmp_path: Path) -> None:
    first, second = (play(ticked(tmp_path / name)) for name in ("a", "b"))
    assert first == second
    assert play(ticked(tmp_path / "c", seed=4)) != first


def test_orders_fill_in_parts_and_positions_are_the_sum_of_trades(tmp_path: Path) -> None:
    venue = ticked(tmp_path / "w")
    play(venue)
    per_order: dict[str, int] = {}
    for found in venue.trades_since(0):
        per_order[found.client_id] = per_order.get(found.client_id, 0) + 1
    assert max(per_order.values()) > 1
    total = sum((t.quantity * t.side.sign for t in venue.trades_since(0)), ZERO)
    assert venue.positions() == {SYMBOL: total}
    for client_id in per_order:
        booked = sum(t.quantity for t in venue.trades_since(0) if t.client_id == client_id)
        assert venue.fetch(client_id).filled == booked


def test_nothing_is_forgotten_over_a_restart(tmp_path: Path) -> None:
    venue = ticked(tmp_path / "w")
    play(venue)
    before = (venue.open_orders(), venue.positions(), venue.last_trade())
    venue.close()
    again = world(tmp_path / "w", lambda: 0.0)
    # Opening plays one step of the market, in which what rests may trade.
    assert again.last_trade() >= before[2]
    known = {o.client_id for o in before[0]}
    assert {o.client_id for o in again.open_orders()} <= known


def test_the_market_goes_on_while_nobody_watches(tmp_path: Path) -> None:
    now = 1_000.0
    venue = world(tmp_path / "w", lambda: now)
    venue.tick()
    venue.place("near", limit(venue, Side.BUY, "0.01", "-0.0004"))
    venue.close()
    now += 100.0
    later = world(tmp_path / "w", lambda: now)
    assert later.fetch("near").status is OrderStatus.FILLED


def test_an_open_id_is_refused_and_a_closed_one_accepted_again(tmp_path: Path) -> None:
    """Binance's rule; whoever re-sends a filled order's id there has doubled it."""
    venue = ticked(tmp_path / "w")
    venue.place("x", limit(venue, Side.BUY, "0.01", "-0.02"))
    with pytest.raises(OrderRejected, match="duplicate"):
        venue.place("x", limit(venue, Side.BUY, "0.01", "-0.02"))
    venue.cancel("x")
    assert venue.place("x", limit(venue, Side.BUY, "0.01", "-0.02")).status is OrderStatus.OPEN


def test_refusals(tmp_path: Path) -> None:
    venue = ticked(tmp_path / "w")
    with pytest.raises(OrderRejected, match="unknown symbol"):
        venue.place("a", Order("NONE", Side.BUY, Decimal(1), price=Decimal(1)))
    with pytest.raises(OrderRejected, match="filter"):
        venue.place("b", Order(SYMBOL, Side.BUY, Decimal("0.0000001"), price=Decimal(1)))
    for ask in (venue.fetch, venue.cancel):
        with pytest.raises(OrderNotFound):
            ask("nobody")


def test_what_a_market_order_cannot_get_is_cancelled(tmp_path: Path) -> None:
    venue = ticked(tmp_path / "w")
    found = venue.place("m", market(quantity="5"))
    assert found.status is OrderStatus.CANCELLED
    assert 0 < found.filled < 5


def test_own_orders_do_not_trade_with_each_other(tmp_path: Path) -> None:
    """What would meet one of them expires with what it has by then."""
    venue = ticked(tmp_path / "w")
    venue.place("mine", limit(venue, Side.SELL, "0.01", "-0.00005"))  # inside of the spread
    crossing = venue.place("x", limit(venue, Side.BUY, "5", "0.01"))
    assert crossing.status is OrderStatus.CANCELLED
    assert crossing.filled == 0
    assert venue.fetch("mine").status is OrderStatus.OPEN


def test_at_an_equal_price_the_order_that_waits_goes_before_quotes_made_anew(
    tmp_path: Path,
) -> None:
    venue = ticked(tmp_path / "w")
    joins = limit(venue, Side.BUY, "0.01", "-0.00001")
    assert venue.place("joins", joins).status is OrderStatus.OPEN
    book = venue._markets[SYMBOL].book
    at_the_price = [order for price, order in book.orders(buys=True) if price == joins.price]
    assert at_the_price[0].account


def test_a_long_walk_stays_in_sensible_numbers() -> None:
    walk = RandomWalk(SYMBOL, 1, 0.6, 3600.0, 60_000.0)
    price = walk.start
    for tick in range(20_000):
        price = walk.next(tick, price)
        assert 5_000 < price < 700_000


def test_recorded_candles_come_from_the_package_without_importing_it() -> None:
    path = find_recorded("BTC-USD", None)
    candles = load_candles(path)
    source = RecordedCandles(candles, ticks=8)
    prices = [source.next(tick, 0.0) for tick in range(len(candles) * 20)]
    low, high = min(c[2] for c in candles), max(c[1] for c in candles)
    assert min(prices) >= low
    assert max(prices) <= high
    assert prices[0] == candles[0][0]


def test_recorded_candles_may_lie_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "XYUSD.csv").write_text("Open,High,Low,Close\n1,2,1,2\n2,3,2,3\n")
    monkeypatch.setenv("TRADEPULSE_PRICE_DATA", str(tmp_path))
    assert find_recorded("XY-USD", None) == tmp_path / "XYUSD.csv"
    assert find_recorded("ANY", tmp_path / "XYUSD.csv") == tmp_path / "XYUSD.csv"
    with pytest.raises(ConfigError, match="TRADEPULSE_PRICE_DATA"):
        find_recorded("NONE", None)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Open,High,Low,Close\n1,2,1,2\n"])
def test_bad_candle_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.csv"):
        load_candles(path)
