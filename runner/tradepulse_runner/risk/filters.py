"""The venue's own filters (steps, sizes, short sales), checked before an order is sent.

A refusal at the venue costs a message, counts as an order error (which may roll a release back) and
gives no more detail than these checks.
"""

from __future__ import annotations

from decimal import Decimal

from tradepulse_runner.domain import Instrument, Order, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms.state import Exposure


def check_steps(order: Order, steps: Instrument | None) -> None:
    """Raise :class:`RiskRejected` unless price, quantity and size fit ``steps``; None: the venue
    has not described the instrument, so nothing can be checked and nothing may be sent."""
    if steps is None:
        raise RiskRejected("instrument", f"the venue has not described {order.symbol} yet")
    if order.price is not None and order.price % steps.tick:
        raise RiskRejected("tick_size", f"{order.price} is no multiple of {steps.tick}")
    if order.quantity % steps.lot:
        raise RiskRejected("lot_size", f"{order.quantity} is no multiple of {steps.lot}")
    if order.quantity < steps.min_quantity:
        raise RiskRejected("min_quantity", f"{order.quantity} is below {steps.min_quantity}")


def check_value(order: Order, price: Decimal, steps: Instrument) -> None:
    """Raise unless the order is worth the venue's least notional at ``price``."""
    value = order.quantity * (order.price if order.price is not None else price)
    if value < steps.min_notional:
        raise RiskRejected("min_notional", f"{value} is below {steps.min_notional}")


def check_short(order: Order, exposure: Exposure, steps: Instrument) -> None:
    """Raise for a sale beyond the position, counting every other order that may still sell."""
    if steps.shortable or order.side is Side.BUY:
        return
    left = exposure.position - exposure.selling - order.quantity
    if left < 0:
        raise RiskRejected("short_sale", f"{order.symbol} could reach {left}, it can't be shorted")
