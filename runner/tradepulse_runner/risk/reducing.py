"""REDUCING: which orders can only bring a position nearer to zero.

An order passes when the position keeps its sign even if every other order on its side fills first.
Then each of its fills lowers the absolute position, whatever else fills and in whatever order, and
no sequence of such orders can raise the worst case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from tradepulse_runner.domain import ZERO, Order, Side
from tradepulse_runner.oms.state import Exposure, OrderRecord


def reduces(order: Order, exposure: Exposure) -> bool:
    """Whether every fill of ``order`` lowers the absolute position; ``exposure`` excludes it."""
    if order.side is Side.BUY:
        return exposure.position + exposure.buying + order.quantity <= 0
    return exposure.position - exposure.selling - order.quantity >= 0


def growing(resting: Iterable[OrderRecord], positions: Mapping[str, Decimal]) -> list[str]:
    """Client ids of the resting orders, oldest first, that could raise an absolute position:
    those on the position's own side, and those that would lead past zero."""
    room = {
        (symbol, side): max(ZERO, -side.sign * position)
        for symbol, position in positions.items()
        for side in Side
    }
    orders = []
    for record in resting:
        key = (record.order.symbol, record.order.side)
        left = room.get(key, ZERO) - record.remaining
        if left < 0:
            orders.append(record.client_id)
        else:
            room[key] = left
    return orders
