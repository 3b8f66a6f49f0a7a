"""An order while it lives at the exchange."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tests.support.venues.exchange.domain import ZERO, NewOrder, OrderView, Side, Status


@dataclass(slots=True, eq=False)
class Order:
    """An order's life at the exchange; what leaves it is :meth:`view`."""

    id: int
    account: str
    request: NewOrder
    quantity: Decimal
    created: float
    updated: float
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    locked: Decimal = ZERO  # of the asset that it spends
    status: Status = Status.NEW

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def side(self) -> Side:
        return self.request.side

    @property
    def buys(self) -> bool:
        return self.side is Side.BUY

    @property
    def price(self) -> Decimal | None:
        return self.request.price

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    def view(self) -> OrderView:
        asked = self.request
        return OrderView(
            id=self.id,
            account=self.account,
            client_id=asked.client_id,
            symbol=asked.symbol,
            side=asked.side,
            kind=asked.kind,
            force=asked.force,
            post_only=asked.post_only,
            self_trade=asked.self_trade,
            price=asked.price,
            quantity=self.quantity,
            quote_quantity=asked.quote_quantity,
            filled=self.filled,
            quote_filled=self.quote_filled,
            status=self.status,
            created=self.created,
            updated=self.updated,
        )


def order_of(request: NewOrder, order_id: int, account: str, now: float) -> Order:
    return Order(order_id, account, request, request.quantity or ZERO, now, now)
