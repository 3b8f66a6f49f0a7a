"""What holds of the exchange whatever anybody does to it."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.venues.exchange import (
    FeeFrom,
    Force,
    Kind,
    NewOrder,
    OrderChanged,
    Refused,
    SelfTrade,
    Side,
)
from tests.support_tests.venues.exchange_fixtures import MARKET, Floor

ACCOUNTS = ("one", "two", "poor")
prices = st.integers(190, 210).map(lambda ticks: ticks * MARKET.tick)
quantities = st.integers(0, 60).map(lambda lots: lots * MARKET.lot)


class Trading(RuleBasedStateMachine):
    @initialize(fee_from=st.sampled_from(FeeFrom), fee=st.sampled_from(["0", "0.001", "0.0333"]))
    def open(self, fee_from: FeeFrom, fee: str) -> None:
        self.floor = Floor("one", "two", fee=fee, fee_from=fee_from)
        self.exchange = self.floor.exchange
        self.exchange.deposit("poor", "A", Decimal(10))
        self.exchange.deposit("poor", "B", Decimal(1000))
        self.deposits = {"A": Decimal(2000010), "B": Decimal(2001000)}
        self.count = 0

    @rule(
        account=st.sampled_from(ACCOUNTS),
        side=st.sampled_from(Side),
        quantity=quantities,
        price=st.none() | prices,
        force=st.sampled_from(Force),
        post_only=st.booleans(),
        by_quote=st.booleans(),
        mode=st.sampled_from(SelfTrade),
        client_id=st.none() | st.just("same"),
    )
    def place(
        self,
        account: str,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        force: Force,
        post_only: bool,
        by_quote: bool,
        mode: SelfTrade,
        client_id: str | None,
    ) -> None:
        self.count += 1
        spend = quantity * 100 if by_quote and price is None else None
        request = NewOrder(
            symbol="AB",
            side=side,
            client_id=client_id or f"n{self.count}",
            quantity=None if spend is not None else quantity,
            quote_quantity=spend,
            price=price,
            kind=Kind.MARKET if price is None else Kind.LIMIT,
            force=force,
            post_only=post_only,
            self_trade=mode,
        )
        before = self._everything()
        try:
            self.exchange.place(account, request)
        except Refused:
            assert self._everything() == before

    @rule(account=st.sampled_from(ACCOUNTS), which=st.integers(0, 5))
    def cancel(self, account: str, which: int) -> None:
        orders = self.exchange.open_orders(account)
        if which < len(orders):
            self.exchange.cancel(account, orders[which].id)

    def _everything(self) -> object:
        return [
            (self.exchange.balances(a), self.exchange.orders(a), self.exchange.fills(a))
            for a in ACCOUNTS
        ]

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        held = defaultdict(Decimal, self.exchange.collected_fees())
        for account in ACCOUNTS:
            for asset, balance in self.exchange.balances(account).items():
                assert balance.free >= 0
                assert balance.locked >= 0
                held[asset] += balance.total
        assert held == self.deposits

    @invariant()
    def what_is_locked_is_what_open_orders_may_spend(self) -> None:
        for account in ACCOUNTS:
            needed: dict[str, Decimal] = defaultdict(Decimal)
            for order in self.exchange.open_orders(account):
                assert order.price is not None
                buys = order.side is Side.BUY
                needed["B" if buys else "A"] += order.remaining * (order.price if buys else 1)
            on_top = self.exchange.fee if self.exchange.fee_from is FeeFrom.QUOTE else Decimal(0)
            needed["B"] *= 1 + on_top
            locked = {a: b.locked for a, b in self.exchange.balances(account).items() if b.locked}
            assert locked == {asset: amount for asset, amount in needed.items() if amount}

    @invariant()
    def the_book_is_what_the_open_orders_are_and_never_crosses(self) -> None:
        resting: dict[tuple[Side, Decimal], Decimal] = defaultdict(Decimal)
        for account in ACCOUNTS:
            for order in self.exchange.open_orders(account):
                assert order.price is not None
                resting[order.side, order.price] += order.remaining
        shown = {
            (side, price): quantity
            for side in Side
            for price, quantity in self.exchange.depth("AB", side)
        }
        assert shown == dict(resting)
        quote = self.exchange.quote("AB")
        assert quote.bid is None or quote.ask is None or quote.bid < quote.ask

    @invariant()
    def orders_add_up_to_their_fills(self) -> None:
        filled: dict[int, Decimal] = defaultdict(Decimal)
        spent: dict[int, Decimal] = defaultdict(Decimal)
        for account in ACCOUNTS:
            fills = self.exchange.fills(account)
            assert [fill.sequence for fill in fills] == sorted(fill.sequence for fill in fills)
            for fill in fills:
                filled[fill.order_id] += fill.quantity
                spent[fill.order_id] += fill.quote_quantity
        for account in ACCOUNTS:
            for order in self.exchange.orders(account):
                assert order.filled == filled[order.id] <= order.quantity
                assert order.quote_filled == spent[order.id]
                if order.price is not None and order.filled:
                    average = order.quote_filled / order.filled
                    buys = order.side is Side.BUY
                    assert average <= order.price if buys else average >= order.price

    @invariant()
    def the_last_event_of_an_order_tells_its_state(self) -> None:
        told = {e.order.id: e.order for e in self.floor.events if isinstance(e, OrderChanged)}
        for account in ACCOUNTS:
            for order in self.exchange.orders(account):
                assert told[order.id] == order


Trading.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTrading = Trading.TestCase
