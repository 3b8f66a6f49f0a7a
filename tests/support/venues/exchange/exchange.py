"""The exchange: takes requests, matches them, keeps the record, tells who listens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal

from tests.support.venues.exchange.accounts import Accounts
from tests.support.venues.exchange.domain import (
    ZERO,
    Balance,
    BalanceChanged,
    BookChanged,
    Cause,
    Deposited,
    Event,
    FeeFrom,
    Fill,
    Force,
    Kind,
    Market,
    NewOrder,
    OrderChanged,
    OrderView,
    Quote,
    Reason,
    Refused,
    Side,
    Status,
    Traded,
)
from tests.support.venues.exchange.order import Order, order_of
from tests.support.venues.exchange.record import Record
from tests.support.venues.exchange.rules import check
from tests.support.venues.exchange.settlement import Fee, Settlement
from tradepulse_runner.venues.matching import Book, Incoming, Match, Plan, plan

Callback = Callable[[Event], None]
Clock = Callable[[], float]


class Exchange:
    """Every method either changes everything that it should, and then tells the subscribers, or
    raises :class:`Refused` and changes nothing. ``clock`` gives unix seconds; ``fee`` is a share
    of what is traded."""

    def __init__(
        self,
        markets: Iterable[Market],
        *,
        clock: Clock,
        fee: Decimal = Decimal("0.001"),
        fee_from: FeeFrom = FeeFrom.RECEIVED,
    ) -> None:
        self.markets = {market.symbol: market for market in markets}
        self.halted: set[str] = set()  # symbols that take no new orders, only cancels
        self._clock = clock
        self._books = {symbol: Book[Order]() for symbol in self.markets}
        self._last = {symbol: market.start_price for symbol, market in self.markets.items()}
        self._accounts = Accounts()
        self._settlement = Settlement(self._accounts, fee, fee_from)
        self._record = Record()
        self._order_ids = 0
        self._trade_ids: dict[str, int] = defaultdict(int)
        self._sequence = 0
        self._callbacks: list[Callback] = []
        self._events: list[Event] = []
        self._levels: dict[tuple[str, Side, Decimal], None] = {}  # book levels that changed
        self.fee, self.fee_from = fee, fee_from

    # -- what the outside does

    def deposit(self, account: str, asset: str, quantity: Decimal) -> None:
        """Also a withdrawal, when ``quantity`` is negative."""
        self._accounts.credit(account, asset, quantity)
        self._events.append(Deposited(account, asset, quantity))
        self._tell()

    def place(self, account: str, request: NewOrder) -> OrderView:
        """Match the order and let its remainder rest, as its force says."""
        market = self._accept(account, request)
        intended = plan(self._books[market.symbol], _incoming(account, request, market.lot))
        if request.post_only and (intended.matches or intended.expired or intended.taker_expired):
            raise Refused(Reason.WOULD_TAKE)
        if request.force is Force.FOK and intended.quantity < (request.quantity or ZERO):
            intended = Plan[Order]()
        self._afford(market, account, request, intended)
        self._order_ids += 1
        order = order_of(request, self._order_ids, account, self._clock())
        if request.quote_quantity is not None:
            order.quantity = intended.quantity + intended.unmet
        self._record.add(order)
        self._changed(order, Cause.NEW)
        self._apply(market, order, intended)
        self._tell()
        return order.view()

    def cancel(self, account: str, order_id: int) -> OrderView:
        order = self._record.get(account, order_id)
        if not order.status.open:
            raise Refused(Reason.CLOSED_ORDER, str(order_id))
        self._close(order, Status.CANCELED, Cause.CANCELED)
        self._tell()
        return order.view()

    def keep_no_history(self, account: str) -> None:
        """Forget this account's orders when they close, and its fills: a crowd makes many."""
        self._record.forget(account)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each event, after the request that caused it has been carried
        out wholly; returns what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    # -- what the outside asks

    def order(self, account: str, order_id: int) -> OrderView:
        return self._record.get(account, order_id).view()

    def by_client_id(
        self, account: str, client_id: str, symbol: str | None = None
    ) -> list[OrderView]:
        """All orders that ever had this id, newest first."""
        return [order.view() for order in self._record.by_client_id(account, client_id, symbol)]

    def open_orders(self, account: str, symbol: str | None = None) -> list[OrderView]:
        """Oldest first."""
        return [order.view() for order in self._record.open(account, symbol)]

    def orders(self, account: str, symbol: str | None = None) -> list[OrderView]:
        """Open and closed ones, oldest first."""
        return [order.view() for order in self._record.all(account, symbol)]

    def fills(self, account: str, symbol: str | None = None, after_id: int = 0) -> list[Fill]:
        """Oldest first. ``after_id`` is a fill's ``id``, so it needs a symbol to mean anything."""
        if after_id and symbol is None:
            raise ValueError("fill ids are per symbol: say which, or filter by `sequence`")
        return [fill for fill in self._record.fills(account, symbol) if fill.id > after_id]

    def balances(self, account: str) -> dict[str, Balance]:
        return self._accounts.of(account)

    def quote(self, symbol: str) -> Quote:
        book = self._book(symbol)
        return Quote(symbol, *_best(book, buys=True), *_best(book, buys=False))

    def depth(self, symbol: str, side: Side, limit: int = 100) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity), best first."""
        return self._book(symbol).depth(limit, buys=side is Side.BUY)

    def last_price(self, symbol: str) -> Decimal:
        """Of the last trade; before the first one, the market's start price."""
        self._book(symbol)
        return self._last[symbol]

    def collected_fees(self) -> dict[str, Decimal]:
        return dict(self._settlement.collected)

    # -- how it is done

    def _book(self, symbol: str) -> Book[Order]:
        try:
            return self._books[symbol]
        except KeyError:
            raise Refused(Reason.UNKNOWN_SYMBOL, symbol) from None

    def _accept(self, account: str, request: NewOrder) -> Market:
        self._book(request.symbol)
        market = self.markets[request.symbol]
        if market.symbol in self.halted:
            raise Refused(Reason.HALTED, market.symbol)
        check(market, request, self._last[market.symbol])
        resting = self._record.open(account, market.symbol)
        if request.kind is Kind.LIMIT and len(resting) >= market.max_open_orders:
            raise Refused(Reason.MAX_OPEN_ORDERS, str(market.max_open_orders))
        if any(order.request.client_id == request.client_id for order in resting):
            raise Refused(Reason.DUPLICATE, request.client_id)
        return market

    def _afford(
        self, market: Market, account: str, request: NewOrder, intended: Plan[Order]
    ) -> None:
        """A limit order must be able to pay for all of itself at its own price, a market order
        for what it meets."""
        if request.price is not None and request.quantity is not None:
            base, quote = request.quantity, request.quantity * request.price
        else:
            base, quote = intended.quantity, intended.cost
        asset = self._settlement.spends(market, request.side)
        free = self._accounts.free(account, asset)
        cost = self._settlement.cost(request.side, base, quote)
        if cost > free:
            raise Refused(Reason.INSUFFICIENT, f"{cost} {asset} needed, {free} free")

    def _apply(self, market: Market, order: Order, intended: Plan[Order]) -> None:
        for match in intended.matches:
            self._trade(market, order, match)
        for maker in intended.expired:
            self._close(maker, Status.EXPIRED_IN_MATCH, Cause.SELF_TRADE)
        if order.status is Status.FILLED:
            return
        if intended.taker_expired:
            self._end(order, Status.EXPIRED_IN_MATCH, Cause.SELF_TRADE)
        elif order.request.kind is Kind.MARKET or order.request.force is not Force.GTC:
            self._end(order, Status.EXPIRED, Cause.EXPIRED)
        else:
            self._settlement.relock(market, order, rests=True)
            self._books[order.symbol].add(order)
            self._touch(order)

    def _trade(self, market: Market, taker: Order, match: Match[Order]) -> None:
        maker, price, quantity = match.maker, match.price, match.quantity
        now = self._clock()
        self._trade_ids[market.symbol] += 1
        self._sequence += 1
        self._last[market.symbol] = price
        for order in (maker, taker):
            order.filled += quantity
            order.quote_filled += price * quantity
            order.updated = now
            order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
        # The maker's lock shrinks by what it now pays; the seller delivers before the buyer pays
        # only in so far as both are free by then.
        self._settlement.relock(market, maker, rests=True)
        fees = [
            (order, self._settlement.trade(market, order, price, quantity))
            for order in (maker, taker)
        ]
        if maker.status is Status.FILLED:
            self._books[maker.symbol].remove(maker)
            self._record.close(maker)
        self._touch(maker)
        for order, fee in fees:
            self._filled(market, order, match, fee, now)
        if taker.status is Status.FILLED:
            self._record.close(taker)
        self._events.append(
            Traded(market.symbol, self._trade_ids[market.symbol], price, quantity, taker.side, now)
        )

    def _filled(
        self, market: Market, order: Order, match: Match[Order], fee: Fee, now: float
    ) -> None:
        fill = Fill(
            id=self._trade_ids[market.symbol],
            sequence=self._sequence,
            account=order.account,
            order_id=order.id,
            client_id=order.request.client_id,
            symbol=market.symbol,
            side=order.side,
            price=match.price,
            quantity=match.quantity,
            fee=fee.quantity,
            fee_asset=fee.asset,
            maker=order is match.maker,
            time=now,
        )
        self._record.add_fill(fill)
        self._changed(order, Cause.TRADE, fill)

    def _close(self, order: Order, status: Status, cause: Cause) -> None:
        """Take a resting order out of the book."""
        self._books[order.symbol].remove(order)
        self._settlement.relock(self.markets[order.symbol], order, rests=False)
        self._touch(order)
        self._end(order, status, cause)

    def _end(self, order: Order, status: Status, cause: Cause) -> None:
        order.status = status
        order.updated = self._clock()
        self._record.close(order)
        self._changed(order, cause)

    def _changed(self, order: Order, cause: Cause, fill: Fill | None = None) -> None:
        self._events.append(OrderChanged(order.view(), cause, fill))

    def _touch(self, order: Order) -> None:
        assert order.price is not None, "only limit orders rest"
        self._levels[order.symbol, order.side, order.price] = None

    def _tell(self) -> None:
        """Subscribers hear of a request when it is done, so that what they ask fits together."""
        events, self._events = self._events, []
        events.extend(
            BalanceChanged(account, balances)
            for account, balances in self._accounts.take_touched().items()
        )
        events.extend(
            BookChanged(
                symbol, side, price, self._books[symbol].quantity(price, buys=side is Side.BUY)
            )
            for symbol, side, price in self._levels
        )
        self._levels.clear()
        for event in events:
            for callback in list(self._callbacks):
                callback(event)


def _best(book: Book[Order], *, buys: bool) -> tuple[Decimal | None, Decimal]:
    """Price and quantity of the best level."""
    return next(iter(book.depth(1, buys=buys)), (None, ZERO))


def _incoming(account: str, request: NewOrder, lot: Decimal) -> Incoming:
    return Incoming(
        account=account,
        buys=request.side is Side.BUY,
        price=request.price,
        quantity=request.quantity,
        quote_quantity=request.quote_quantity,
        lot=lot,
        self_trade=request.self_trade,
    )
