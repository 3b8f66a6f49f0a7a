"""What a venue would refuse by its own rules, refused here first and by name.

A refusal at the venue costs a message, counts as an order error (which may roll a release back) and
says no more than this does.
"""

from __future__ import annotations

from decimal import Decimal

from tradepulse_runner.domain import Instrument, Order, Side
from tradepulse_runner.errors import RiskRejected
from tradepulse_runner.oms.state import Exposure


def check_steps(order: Order, steps: Instrument | None) -> None:
    """Raise :class:`RiskRejected` unless price, quantity and size fit ``steps``; None: the venue
    has not told them, so nothing can be checked and nothing may be sent."""
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


def check_short(order: Order, held: Exposure, steps: Instrument) -> None:
    """Raise for a sale of what isn't held, counting everything else that may still be sold."""
    if steps.shortable or order.side is Side.BUY:
        return
    left = held.position - held.selling - order.quantity
    if left < 0:
        raise RiskRejected("short_sale", f"{order.symbol} could reach {left}, it can't be shorted")
