"""What happens at the exchange, told to every WebSocket that subscribed to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from tests.support.venues.coinbase import market
from tests.support.venues.coinbase.brokerage import Brokerage
from tests.support.venues.coinbase.feed import Event, Feed
from tests.support.venues.coinbase.orders import user_order_json
from tests.support.venues.exchange import (
    BookChanged,
    Cause,
    Exchange,
    OrderChanged,
    OrderView,
    Traded,
)
from tests.support.venues.exchange import Event as ExchangeEvent
from tests.support.venues.faults import STREAM, Fault, FaultKind, Faults

SNAPSHOT_BATCH = 50  # open orders in a message of the user channel's snapshot
TRADES_KEPT = 100
_NO_POSITIONS: dict[str, list[Any]] = {
    "perpetual_futures_positions": [],
    "expiring_futures_positions": [],
}


class Hub:
    """Also the :class:`~.feed.Source` of snapshots. Market data is gathered for the rest of the
    event loop's turn and sent as one message a channel and product."""

    def __init__(
        self,
        exchange: Exchange,
        brokerage: Brokerage,
        faults: Faults,
        clock: Callable[[], float],
    ) -> None:
        self.feeds: set[Feed] = set()
        self._exchange = exchange
        self._brokerage = brokerage
        self._faults = faults
        self._clock = clock
        self._trades: dict[str, deque[dict[str, str]]] = defaultdict(
            lambda: deque(maxlen=TRADES_KEPT)
        )
        self._new_trades: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._levels: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._flush_due = False
        self._silent_until = 0.0
        exchange.subscribe(self._hear)
        brokerage.on_cancelling = self._tell_cancelling

    # -- what a feed asks when somebody subscribes

    def products(self, asked: list[str]) -> list[str]:
        for product in asked:
            self._exchange.markets[product]
        return asked or list(self._exchange.markets)

    def snapshots(self, channel: str, products: list[str], account: str | None) -> list[Event]:
        if channel == "user" and account is not None:
            return self._open_orders(products, account)
        if channel == "level2":
            now = self._clock()
            return [market.level_snapshot(self._exchange, symbol, now) for symbol in products]
        if channel == "ticker":
            tickers = [market.ticker(self._exchange, symbol) for symbol in products]
            return [{"type": "snapshot", "tickers": tickers}]
        if channel == "market_trades":
            trades = [trade for symbol in products for trade in reversed(self._trades[symbol])]
            return [{"type": "snapshot", "trades": trades}]
        return []

    def _open_orders(self, products: list[str], account: str) -> list[Event]:
        """In batches: the last one has fewer orders than a batch can hold."""
        orders = [
            self._user_json(order)
            for order in self._exchange.open_orders(account)
            if order.symbol in products
        ]
        starts = range(0, len(orders) + 1, SNAPSHOT_BATCH)
        return [_user_event("snapshot", orders[at : at + SNAPSHOT_BATCH]) for at in starts]

    # -- what happens at the exchange

    def _hear(self, event: ExchangeEvent) -> None:
        if isinstance(event, OrderChanged):
            self._tell_order(event)
        elif isinstance(event, Traded):
            told = market.trade(event)
            self._trades[event.symbol].append(told)
            self._new_trades[event.symbol].append(told)
            self._flush_soon()
        elif isinstance(event, BookChanged):
            self._levels[event.symbol].append(
                market.level_update(event.side, event.price, event.quantity, self._clock())
            )
            self._flush_soon()

    def _tell_order(self, event: OrderChanged) -> None:
        for feed in self._user_feeds(event.order):
            if event.cause is Cause.NEW:
                self._tell(feed, {**self._user_json(event.order), "status": "PENDING"})
            self._tell(feed, self._user_json(event.order), fill=event.fill is not None)

    def _tell_cancelling(self, order: OrderView) -> None:
        for feed in self._user_feeds(order):
            self._tell(feed, self._user_json(order))

    def _user_feeds(self, order: OrderView) -> list[Feed]:
        return [
            feed
            for feed in self.feeds
            if feed.account == order.account and feed.wants("user", order.symbol)
        ]

    def _tell(self, feed: Feed, order: Event, *, fill: bool = False) -> None:
        """One update of the user channel: what a stream's faults drop, repeat and reorder."""
        if self.silent():
            return
        for event in feed.outlet.pass_on(_user_event("update", [order]), fill=fill):
            feed.send("user", event)

    def silent(self) -> bool:
        """Whether feeds say nothing now; a fault may begin that, or cut them all."""
        if self._faults.take(STREAM, FaultKind.CUT_STREAM):
            self.cut()
        if silence := self._faults.take(STREAM, FaultKind.SILENCE_STREAM):
            self._silent_until = self._clock() + silence.seconds
        return self._clock() < self._silent_until

    def cut(self) -> None:
        for feed in list(self.feeds):
            feed.cut()

    def on_fault(self, fault: Fault) -> None:
        """A cut that waits for nothing happens now, not at the next event."""
        if fault.on == STREAM and fault.kind == FaultKind.CUT_STREAM and not fault.after:
            self._faults.take(STREAM, FaultKind.CUT_STREAM)
            self.cut()

    def _user_json(self, order: OrderView) -> Event:
        return user_order_json(
            order,
            self._brokerage.executions(order),
            fee=self._exchange.fee,
            cancelling=self._brokerage.cancelling(order),
        )

    # -- market data

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        levels, self._levels = self._levels, defaultdict(list)
        trades, self._new_trades = self._new_trades, defaultdict(list)
        for symbol, updates in levels.items():
            event = {"type": "update", "product_id": symbol, "updates": updates}
            self._broadcast("level2", symbol, event)
        for symbol, happened in trades.items():
            tickers = [market.ticker(self._exchange, symbol)]
            self._broadcast("market_trades", symbol, {"type": "update", "trades": happened[::-1]})
            self._broadcast("ticker", symbol, {"type": "update", "tickers": tickers})

    def _broadcast(self, channel: str, symbol: str, event: Event) -> None:
        for feed in self.feeds:
            if feed.wants(channel, symbol):
                feed.tell(channel, event)


def _user_event(kind: str, orders: list[Event]) -> Event:
    return {"type": kind, "orders": orders, "positions": _NO_POSITIONS}
