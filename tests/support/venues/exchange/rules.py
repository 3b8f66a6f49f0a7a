"""What a market demands of an order before it looks at the book."""

from __future__ import annotations

from decimal import Decimal

from tests.support.venues.exchange.domain import Force, Kind, Market, NewOrder, Reason, Refused


def check(market: Market, order: NewOrder, reference: Decimal) -> None:
    """Raises :class:`Refused` for the first rule that is broken. ``reference`` is the last trade's
    price: it values a market order and is the middle of the price band."""
    _shape(order)
    if order.price is not None:
        _price(market, order.price, reference)
    if order.quantity is not None:
        _quantity(market, order.quantity)
    notional = order.quote_quantity or (order.price or reference) * (order.quantity or 0)
    if notional < market.min_notional:
        raise Refused(Reason.NOTIONAL, f"{notional} < {market.min_notional} {market.quote}")


def _shape(order: NewOrder) -> None:
    limit = order.kind is Kind.LIMIT
    problems = {
        "exactly one of quantity and quote_quantity": (order.quantity is None)
        == (order.quote_quantity is None),
        "a limit order has a quantity": limit and order.quantity is None,
        "a limit order has a price, a market order has none": limit == (order.price is None),
        "a post-only order rests": order.post_only and (not limit or order.force is not Force.GTC),
    }
    for rule, broken in problems.items():
        if broken:
            raise Refused(Reason.BAD_ORDER, rule)


def _price(market: Market, price: Decimal, reference: Decimal) -> None:
    if not 0 < price <= market.max_price:
        raise Refused(Reason.PRICE_RANGE, f"{price} is not within 0..{market.max_price}")
    if price % market.tick:
        raise Refused(Reason.PRICE_STEP, f"{price} % {market.tick}")
    if not reference * market.band_down <= price <= reference * market.band_up:
        raise Refused(Reason.PRICE_BAND, f"{price} while the market is at {reference}")


def _quantity(market: Market, quantity: Decimal) -> None:
    if not market.min_quantity <= quantity <= market.max_quantity:
        raise Refused(
            Reason.QUANTITY_RANGE,
            f"{quantity} is not within {market.min_quantity}..{market.max_quantity}",
        )
    if quantity % market.lot:
        raise Refused(Reason.LOT_STEP, f"{quantity} % {market.lot}")
