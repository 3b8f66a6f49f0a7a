"""The exchange, rule by rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.venues.exchange import (
    Balance,
    BalanceChanged,
    BookChanged,
    Cause,
    Crowd,
    Deposited,
    FeeFrom,
    Force,
    Kind,
    OrderChanged,
    Reason,
    SelfTrade,
    Side,
    Status,
    Traded,
)
from tests.support_tests.venues.exchange_fixtures import Floor, refusal


def test_the_best_price_trades_first_and_within_a_price_the_oldest() -> None:
    floor = Floor("maker", "taker")
    late_best = floor.sell("maker", "1", "100")
    worse = floor.sell("maker", "1", "101")
    later = floor.sell("maker", "1", "100")
    taken = floor.buy("taker", "2.5", "101")
    assert taken.status is Status.FILLED
    assert [(fill.price, fill.quantity) for fill in floor.exchange.fills("taker")] == [
        (Decimal(100), Decimal(1)),
        (Decimal(100), Decimal(1)),
        (Decimal(101), Decimal("0.5")),
    ]
    assert [fill.order_id for fill in floor.exchange.fills("maker")] == [
        late_best.id,
        later.id,
        worse.id,
    ]
    assert floor.again(worse).status is Status.PARTIALLY_FILLED
    assert floor.exchange.quote("AB").ask_quantity == Decimal("0.5")


@pytest.mark.parametrize(
    ("force", "quantity", "status", "filled", "rests"),
    [
        (Force.GTC, "3", Status.PARTIALLY_FILLED, "1", "2"),
        (Force.IOC, "3", Status.EXPIRED, "1", "0"),
        (Force.FOK, "3", Status.EXPIRED, "0", "0"),
        (Force.FOK, "1", Status.FILLED, "1", "0"),
        (Force.IOC, "0.5", Status.FILLED, "0.5", "0"),
    ],
)
def test_what_becomes_of_the_rest(
    force: Force, quantity: str, status: Status, filled: str, rests: str
) -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    order = floor.buy("taker", quantity, "100", force=force)
    assert (order.status, order.filled) == (status, Decimal(filled))
    assert floor.exchange.quote("AB").bid_quantity == Decimal(rests)


def test_a_market_order_takes_what_there_is_and_expires() -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    order = floor.buy("taker", "3")
    assert (order.status, order.filled) == (Status.EXPIRED, Decimal(1))


def test_a_market_order_can_say_how_much_to_spend() -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    floor.sell("maker", "1", "110")
    order = floor.buy("taker", "1", quantity=None, quote_quantity=Decimal(160))
    assert (order.status, order.filled) == (Status.FILLED, Decimal("1.5"))
    assert order.quote_filled == Decimal(155)


def test_money_that_the_book_cannot_take_up_expires() -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    order = floor.buy("taker", "1", quantity=None, quote_quantity=Decimal(160))
    assert (order.status, order.filled) == (Status.EXPIRED, Decimal(1))
    assert (order.quantity, order.quote_filled) == (Decimal("1.6"), Decimal(100))


def test_a_post_only_order_rests_or_is_refused() -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    assert refusal(lambda: floor.buy("taker", "1", "100", post_only=True)) is Reason.WOULD_TAKE
    assert floor.buy("taker", "1", "99", post_only=True).status is Status.NEW


@pytest.mark.parametrize(
    ("mode", "taker", "maker", "other_filled"),
    [
        (SelfTrade.NONE, Status.FILLED, Status.FILLED, "1"),
        (SelfTrade.EXPIRE_MAKER, Status.PARTIALLY_FILLED, Status.EXPIRED_IN_MATCH, "1"),
        (SelfTrade.EXPIRE_TAKER, Status.EXPIRED_IN_MATCH, Status.NEW, "0"),
        (SelfTrade.EXPIRE_BOTH, Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH, "0"),
    ],
)
def test_self_trades(mode: SelfTrade, taker: Status, maker: Status, other_filled: str) -> None:
    floor = Floor("one", "other")
    own = floor.sell("one", "1", "100")
    others = floor.sell("other", "1", "101")
    order = floor.buy("one", "2", "101", self_trade=mode)
    assert (order.status, floor.again(own).status) == (taker, maker)
    assert floor.again(others).filled == Decimal(other_filled)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": Decimal("100.3")}, Reason.PRICE_STEP),
        ({"price": Decimal(-1)}, Reason.PRICE_RANGE),
        ({"price": Decimal(10001)}, Reason.PRICE_RANGE),
        ({"price": Decimal(501)}, Reason.PRICE_BAND),
        ({"price": Decimal(19)}, Reason.PRICE_BAND),
        ({"quantity": Decimal("1.05")}, Reason.LOT_STEP),
        ({"quantity": Decimal("0.1")}, Reason.QUANTITY_RANGE),
        ({"quantity": Decimal(1001)}, Reason.QUANTITY_RANGE),
        ({"price": Decimal(20), "quantity": Decimal("0.4")}, Reason.NOTIONAL),
        ({"symbol": "CD"}, Reason.UNKNOWN_SYMBOL),
        ({"kind": Kind.MARKET}, Reason.BAD_ORDER),
        ({"price": None}, Reason.BAD_ORDER),
        ({"quote_quantity": Decimal(5)}, Reason.BAD_ORDER),
        ({"quantity": None}, Reason.BAD_ORDER),
        ({"post_only": True, "force": Force.IOC}, Reason.BAD_ORDER),
        ({"client_id": "c1"}, Reason.DUPLICATE),
        ({"quantity": Decimal(900), "price": Decimal(500)}, Reason.INSUFFICIENT),
    ],
)
def test_refusals_change_nothing(change: dict[str, Any], reason: Reason) -> None:
    floor = Floor("one")
    first = floor.buy("one", "1", "50")
    floor.exchange.deposit("one", "B", Decimal(-900000))
    floor.events.clear()
    before = floor.exchange.balances("one")
    assert refusal(lambda: floor.buy("one", "1", "50", **change)) is reason
    assert floor.exchange.balances("one") == before
    assert floor.exchange.open_orders("one") == [first]
    assert floor.events == []


def test_there_is_a_limit_to_open_orders() -> None:
    floor = Floor("one")
    orders = [floor.buy("one", "1", "50") for _ in range(3)]
    assert refusal(lambda: floor.buy("one", "1", "50")) is Reason.MAX_OPEN_ORDERS
    floor.exchange.cancel("one", orders[0].id)
    assert floor.buy("one", "1", "50").status is Status.NEW


def test_a_halted_market_takes_cancels_only() -> None:
    floor = Floor("one")
    order = floor.buy("one", "1", "50")
    floor.exchange.halted.add("AB")
    assert refusal(lambda: floor.buy("one", "1", "50")) is Reason.HALTED
    assert floor.exchange.cancel("one", order.id).status is Status.CANCELED


def test_an_id_is_unique_among_open_orders_only() -> None:
    floor = Floor("one")
    first = floor.buy("one", "1", "50", client_id="same")
    floor.exchange.cancel("one", first.id)
    second = floor.buy("one", "1", "50", client_id="same")
    found = floor.exchange.by_client_id("one", "same")
    assert [order.id for order in found] == [second.id, first.id]
    assert floor.exchange.by_client_id("one", "same", "CD") == []


def test_cancelling_what_is_closed_foreign_or_unknown() -> None:
    floor = Floor("one", "other")
    order = floor.buy("one", "1", "50")
    cancel = floor.exchange.cancel
    assert refusal(lambda: cancel("other", order.id)) is Reason.UNKNOWN_ORDER
    assert refusal(lambda: cancel("one", 99)) is Reason.UNKNOWN_ORDER
    cancel("one", order.id)
    assert refusal(lambda: cancel("one", order.id)) is Reason.CLOSED_ORDER


def test_an_open_order_locks_what_it_may_spend() -> None:
    floor = Floor("one", "maker", fee="0.01")
    order = floor.buy("one", "2", "90")
    assert floor.exchange.balances("one")["B"].locked == 180
    floor.sell("maker", "1", "90")
    balances = floor.exchange.balances("one")
    assert balances["B"] == Balance(free=Decimal(999820), locked=Decimal(90))
    assert balances["A"].free == Decimal("1000000.99")
    floor.exchange.cancel("one", order.id)
    assert floor.exchange.balances("one")["B"].locked == 0


def test_a_better_price_than_the_limit_is_paid_for_at_that_price() -> None:
    floor = Floor("one", "maker")
    floor.sell("maker", "1", "90")
    floor.buy("one", "2", "100")
    assert floor.exchange.balances("one")["B"].total == 1000000 - 90
    assert floor.exchange.balances("one")["B"].locked == 100


def test_fees_in_quote_units_come_on_top() -> None:
    floor = Floor("one", "maker", fee="0.01", fee_from=FeeFrom.QUOTE)
    floor.buy("one", "2", "100")
    assert floor.exchange.balances("one")["B"].locked == 202
    floor.sell("maker", "2", "100")
    assert floor.exchange.balances("one")["B"].total == 1000000 - 202
    assert floor.exchange.balances("maker")["B"].total == 1000000 + 198
    assert floor.exchange.collected_fees() == {"B": 4}


def test_subscribers_hear_what_happened_in_order_and_once_it_is_done() -> None:
    floor = Floor("maker", "taker")
    floor.sell("maker", "1", "100")
    floor.events.clear()
    states: list[Decimal] = []
    floor.exchange.subscribe(lambda _: states.append(floor.exchange.balances("taker")["A"].free))
    floor.clock.now = 1001.0
    floor.buy("taker", "2", "100")
    changes = [event for event in floor.events if isinstance(event, OrderChanged)]
    assert [(change.order.account, change.cause) for change in changes] == [
        ("taker", Cause.NEW),
        ("maker", Cause.TRADE),
        ("taker", Cause.TRADE),
    ]
    fills = [change.fill for change in changes if change.fill]
    assert [(fill.maker, fill.time) for fill in fills] == [(True, 1001.0), (False, 1001.0)]
    assert [event.taker for event in floor.events if isinstance(event, Traded)] == [Side.BUY]
    levels = [event for event in floor.events if isinstance(event, BookChanged)]
    assert [(level.side, int(level.quantity)) for level in levels] == [
        (Side.SELL, 0),
        (Side.BUY, 1),
    ]
    assert {e.account for e in floor.events if isinstance(e, BalanceChanged)} == {"maker", "taker"}
    assert set(states) == {Decimal(1000001)}


def test_a_deposit_is_reported() -> None:
    floor = Floor()
    floor.exchange.deposit("one", "A", Decimal(3))
    assert Deposited("one", "A", Decimal(3)) in floor.events
    assert refusal(lambda: floor.exchange.deposit("one", "A", Decimal(-4))) is Reason.INSUFFICIENT


def test_a_crowd_of_the_same_seed_does_the_same() -> None:
    quotes = []
    for _ in range(2):
        floor = Floor()
        crowd = Crowd(floor.exchange, seed=5)
        for _ in range(20):
            crowd.step()
        quotes.append(floor.exchange.quote("AB"))
    assert quotes[0] == quotes[1]
    assert quotes[0].bid is not None
    assert quotes[0].ask is not None
    assert quotes[0].bid < quotes[0].ask


def test_a_crowd_that_moves_trades_with_what_is_in_its_way() -> None:
    floor = Floor("one")
    crowd = Crowd(floor.exchange, size=Decimal(100))
    order = floor.sell("one", "1000", "120")
    crowd.move("AB", Decimal(130))
    assert floor.again(order).status is Status.PARTIALLY_FILLED
    crowd.take("AB", Side.BUY, floor.again(order).remaining)
    assert floor.again(order).status is Status.FILLED


def test_without_its_crowd_a_market_is_empty() -> None:
    floor = Floor()
    crowd = Crowd(floor.exchange)
    crowd.step()
    crowd.withdraw("AB")
    quote = floor.exchange.quote("AB")
    assert (quote.bid, quote.ask) == (None, None)
    assert floor.exchange.orders("crowd") == []
