"""The other participants: they quote, move prices and trade, the same way for the same seed."""

from __future__ import annotations

import random
from decimal import Decimal

from tests.support.venues.exchange.domain import (
    ZERO,
    Force,
    Kind,
    Market,
    NewOrder,
    OrderView,
    Refused,
    Side,
)
from tests.support.venues.exchange.exchange import Exchange
from tradepulse_runner.venues.matching import SelfTrade

_PLENTY = Decimal(10) ** 10


class Crowd:
    """One account with plenty of everything.

    ``levels`` prices are quoted on each side, ``spread`` (a share of the price) apart, each of
    about ``size`` quote units; a step moves the price by about ``volatility`` of it. What rests in
    the way of a moving price is traded with.
    """

    def __init__(
        self,
        exchange: Exchange,
        seed: int = 1,
        *,
        account: str = "crowd",
        levels: int = 5,
        spread: Decimal = Decimal("0.0002"),
        size: Decimal = Decimal(50000),
        volatility: float = 0.0005,
    ) -> None:
        self._exchange = exchange
        self._random = random.Random(seed)
        self._account = account
        self._levels = levels
        self._spread = spread
        self._size = size
        self._volatility = volatility
        self._count = 0
        self.prices = {market.symbol: market.start_price for market in exchange.markets.values()}
        exchange.keep_no_history(account)
        for asset in sorted({a for m in exchange.markets.values() for a in (m.base, m.quote)}):
            exchange.deposit(account, asset, _PLENTY)

    def step(self) -> None:
        """Move every market once, quote anew, and now and then take."""
        for market in self._exchange.markets.values():
            change = Decimal(round(self._random.gauss(0, self._volatility), 6))
            self.move(market.symbol, self.prices[market.symbol] * (1 + change))
            if self._random.random() < 0.5:
                side = self._random.choice((Side.BUY, Side.SELL))
                share = Decimal(self._random.randint(1, 100)) / 100
                self.take(market.symbol, side, self._lots(market, self._size * share))

    def move(self, symbol: str, price: Decimal) -> None:
        """Quote around ``price``; what rests beyond it is traded with, as far as the quotes go."""
        market = self._exchange.markets[symbol]
        price = max(_to_step(price, market.tick), market.tick * 10 * self._levels)
        self.prices[symbol] = price
        self.withdraw(symbol)
        gap = max(_to_step(price * self._spread, market.tick), market.tick * 2)
        for level in range(self._levels):
            distance = gap / 2 + gap * level
            for side, quoted in ((Side.BUY, price - distance), (Side.SELL, price + distance)):
                quantity = self._lots(market, self._size * Decimal(self._random.uniform(0.5, 1.5)))
                self._place(market, side, quantity, _to_step(quoted, market.tick))

    def withdraw(self, symbol: str) -> None:
        """Take all quotes away: a market without liquidity."""
        for order in self._exchange.open_orders(self._account, symbol):
            self._exchange.cancel(self._account, order.id)

    def take(self, symbol: str, side: Side, quantity: Decimal) -> OrderView | None:
        """A market order of the crowd, which meets its own quotes too; None when it was refused."""
        return self._place(self._exchange.markets[symbol], side, quantity, None)

    def _lots(self, market: Market, quote: Decimal) -> Decimal:
        quantity = _to_step(quote / self.prices[market.symbol], market.lot)
        return max(quantity, market.min_quantity)

    def _place(
        self, market: Market, side: Side, quantity: Decimal, price: Decimal | None
    ) -> OrderView | None:
        self._count += 1
        request = NewOrder(
            symbol=market.symbol,
            side=side,
            client_id=f"crowd-{self._count}",
            quantity=quantity,
            price=price,
            kind=Kind.MARKET if price is None else Kind.LIMIT,
            force=Force.GTC,
            self_trade=SelfTrade.NONE,
        )
        try:
            return self._exchange.place(self._account, request)
        except Refused:  # halted, out of the band: the crowd shrugs
            return None


def _to_step(value: Decimal, step: Decimal) -> Decimal:
    return max(value // step, ZERO) * step
