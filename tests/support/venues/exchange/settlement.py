"""What a trade and an order's life mean for balances."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from tests.support.venues.exchange.accounts import Accounts
from tests.support.venues.exchange.domain import ZERO, FeeFrom, Market, Side
from tests.support.venues.exchange.order import Order

_PRECISION = Decimal("0.00000001")  # of an asset


@dataclass(frozen=True, slots=True)
class Fee:
    quantity: Decimal
    asset: str


class Settlement:
    """Locks what an open order may spend, moves what a trade moves, collects fees.

    ``collected``: fees by asset. Deposits equal balances plus these, always.
    """

    def __init__(self, accounts: Accounts, rate: Decimal, fee_from: FeeFrom) -> None:
        self._accounts = accounts
        self._rate = rate
        self._fee_from = fee_from
        self.collected: dict[str, Decimal] = defaultdict(Decimal)

    def spends(self, market: Market, side: Side) -> str:
        return market.quote if side is Side.BUY else market.base

    def cost(self, side: Side, base: Decimal, quote: Decimal) -> Decimal:
        """What an order for ``base`` worth ``quote`` takes out of the account at most."""
        if side is Side.SELL:
            return base
        # Not rounded: what a partial fill frees must be no less than what that fill costs.
        return quote + quote * self._rate if self._fee_from is FeeFrom.QUOTE else quote

    def relock(self, market: Market, order: Order, *, rests: bool) -> None:
        """Lock what the order's remainder may still cost; nothing when it no longer rests.
        Raises :class:`Refused` when there isn't enough."""
        price = order.price or ZERO
        left = self.cost(order.side, order.remaining, order.remaining * price) if rests else ZERO
        self._accounts.lock(order.account, self.spends(market, order.side), left - order.locked)
        order.locked = left

    def trade(self, market: Market, order: Order, price: Decimal, quantity: Decimal) -> Fee:
        """Book one side of a trade for an order whose lock, if any, was released for it."""
        buys = order.side is Side.BUY
        sign = 1 if buys else -1
        fee = self._fee(market, order.side, quantity, price * quantity)
        moves = {market.base: sign * quantity, market.quote: -sign * price * quantity}
        moves[fee.asset] -= fee.quantity
        for asset, change in sorted(moves.items(), key=lambda move: move[1]):
            self._accounts.credit(order.account, asset, change)
        self.collected[fee.asset] += fee.quantity
        return fee

    def _fee(self, market: Market, side: Side, base: Decimal, quote: Decimal) -> Fee:
        in_base = side is Side.BUY and self._fee_from is FeeFrom.RECEIVED
        amount = (base if in_base else quote) * self._rate
        asset = market.base if in_base else market.quote
        return Fee(amount.quantize(_PRECISION, ROUND_DOWN), asset)
