"""Orders, fills and balances as JSON, and requests as the exchange takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from tests.support.venues.coinbase.requests import TIME_IN_FORCE, OrderRefused, OrderRequest
from tests.support.venues.coinbase.values import named_uuid, number, order_uuid, stamp
from tests.support.venues.exchange import (
    Balance,
    Fill,
    Force,
    Kind,
    NewOrder,
    OrderView,
    Reason,
    SelfTrade,
    Side,
    Status,
)

ZERO = Decimal(0)
_CENT = Decimal("0.00000001")

STATUS = {
    Status.NEW: "OPEN",
    Status.PARTIALLY_FILLED: "OPEN",
    Status.FILLED: "FILLED",
    Status.CANCELED: "CANCELLED",
    # What an IOC, FOK or market order leaves unfilled is reported as cancelled.
    Status.EXPIRED: "CANCELLED",
    Status.EXPIRED_IN_MATCH: "CANCELLED",
}

_FORCE = {
    "GOOD_UNTIL_CANCELLED": Force.GTC,
    "FILL_OR_KILL": Force.FOK,
    "IMMEDIATE_OR_CANCEL": Force.IOC,
}

# The exchange's reasons as ``new_order_failure_reason`` and message.
_REFUSALS = {
    Reason.UNKNOWN_SYMBOL: ("INVALID_PRODUCT_ID", "Invalid product_id"),
    Reason.BAD_ORDER: ("UNSUPPORTED_ORDER_CONFIGURATION", "Unsupported order configuration"),
    Reason.PRICE_STEP: ("INVALID_PRICE_PRECISION", "Too many decimals in order price"),
    Reason.PRICE_RANGE: ("INVALID_LIMIT_PRICE", "Limit price is out of range"),
    Reason.PRICE_BAND: ("LIMIT_PRICE_TOO_FAR_FROM_MARKET", "Limit price too far from market"),
    Reason.LOT_STEP: ("INVALID_SIZE_PRECISION", "Too many decimals in order amount"),
    Reason.QUANTITY_RANGE: ("INVALID_REQUEST", "Order size is out of range"),
    Reason.NOTIONAL: ("INVALID_REQUEST", "Order value is too small"),
    Reason.MAX_OPEN_ORDERS: ("COMMANDER_REJECTED_NEW_ORDER", "Too many open orders"),
    Reason.INSUFFICIENT: ("INSUFFICIENT_FUND", "Insufficient balance in source account"),
    Reason.WOULD_TAKE: ("INVALID_LIMIT_PRICE_POST_ONLY", "A post-only order would take"),
    Reason.HALTED: ("ORDER_ENTRY_DISABLED", "Order entry is disabled for this product"),
}


def refusal(reason: Reason) -> OrderRefused:
    code, message = _REFUSALS.get(reason, ("UNKNOWN_FAILURE_REASON", str(reason)))
    return OrderRefused(code, message)


def new_order(request: OrderRequest, fee: Decimal) -> NewOrder:
    """``quote_size`` includes the fee, so less of it than that is traded."""
    quote = request.quote
    if quote is not None:
        quote = (quote / (1 + fee)).quantize(_CENT, ROUND_DOWN)
    return NewOrder(
        symbol=request.product,
        side=Side(request.side),
        client_id=request.client_id,
        quantity=request.base,
        quote_quantity=quote,
        price=request.price,
        kind=Kind.LIMIT if request.price is not None else Kind.MARKET,
        force=_FORCE[TIME_IN_FORCE[request.kind]],
        post_only=request.post_only,
        self_trade=SelfTrade.EXPIRE_MAKER,
    )


@dataclass(frozen=True, slots=True)
class Executions:
    """What an order's fills add up to."""

    count: int
    fees: Decimal
    last_time: float | None

    @classmethod
    def of(cls, fills: Iterable[Fill]) -> Executions:
        found = list(fills)
        fees = sum((fill.fee for fill in found), ZERO)
        return cls(len(found), fees, found[-1].time if found else None)


def average(order: OrderView) -> Decimal:
    return order.quote_filled / order.filled if order.filled else ZERO


def completion(order: OrderView) -> str:
    if order.status is Status.FILLED:
        return "100"
    share = order.filled / order.quantity * 100 if order.quantity else ZERO
    return number(share.quantize(Decimal("0.01")))


def value_after_fees(order: OrderView, executions: Executions) -> Decimal:
    """What the fills took from, or brought to, the quote balance."""
    sign = 1 if order.side is Side.BUY else -1
    return order.quote_filled + sign * executions.fees


def held(order: OrderView, fee: Decimal) -> Decimal:
    """What an open order keeps from being spent: base for a sale, quote and fee for a purchase."""
    if not order.status.open:
        return ZERO
    if order.side is Side.SELL:
        return order.remaining
    return order.remaining * (order.price or ZERO) * (1 + fee)


def order_json(
    order: OrderView,
    executions: Executions,
    configuration: Mapping[str, Any],
    *,
    fee: Decimal,
    cancelling: bool,
) -> dict[str, Any]:
    """An order of ``orders/historical``. ``configuration`` is the one that it was created with."""
    kind = next(iter(configuration))
    in_quote = order.quote_quantity is not None
    last = executions.last_time
    return {
        "order_id": order_uuid(order.id),
        "product_id": order.symbol,
        "user_id": named_uuid("user", order.account),
        "order_configuration": dict(configuration),
        "side": order.side.value,
        "client_order_id": order.client_id,
        "status": "CANCEL_QUEUED" if cancelling else STATUS[order.status],
        "time_in_force": TIME_IN_FORCE[kind],
        "created_time": stamp(order.created),
        "completion_percentage": completion(order),
        "filled_size": number(order.filled),
        "average_filled_price": number(average(order)),
        "fee": "",
        "number_of_fills": str(executions.count),
        "filled_value": number(order.quote_filled),
        "pending_cancel": cancelling,
        "size_in_quote": in_quote,
        "total_fees": number(executions.fees),
        "size_inclusive_of_fees": in_quote,
        "total_value_after_fees": number(value_after_fees(order, executions)),
        "trigger_status": "INVALID_ORDER_TYPE",
        "order_type": order.kind.value,
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": order.status is Status.FILLED,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "User requested cancel" if order.status is Status.CANCELED else "",
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": number(held(order, fee)),
        "is_liquidation": False,
        "last_fill_time": stamp(last) if last is not None else None,
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": named_uuid("portfolio", order.account),
        "originating_order_id": "",
        "attached_order_id": "",
        "attached_order_configuration": None,
    }


def user_order_json(
    order: OrderView, executions: Executions, *, fee: Decimal, cancelling: bool
) -> dict[str, Any]:
    """An order of the ``user`` channel. There are no fills in it, only what they add up to."""
    limit = order.kind is Kind.LIMIT
    return {
        "avg_price": number(average(order)),
        "cancel_reason": "User requested cancel" if order.status is Status.CANCELED else "",
        "client_order_id": order.client_id,
        "completion_percentage": completion(order),
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "cumulative_quantity": number(order.filled),
        "filled_value": number(order.quote_filled),
        "leaves_quantity": number(order.remaining if order.status.open else ZERO),
        "limit_price": number(order.price) if order.price is not None else "0",
        "number_of_fills": str(executions.count),
        "order_id": order_uuid(order.id),
        "order_side": order.side.value,
        "order_type": "Limit" if limit else "Market",
        "outstanding_hold_amount": number(held(order, fee)),
        "post_only": "true" if order.post_only else "false",
        "product_id": order.symbol,
        "product_type": "SPOT",
        "reject_reason": "",
        "retail_portfolio_id": named_uuid("portfolio", order.account),
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "status": "CANCEL_QUEUED" if cancelling else STATUS[order.status],
        "stop_price": "",
        "time_in_force": next(n for n, force in _FORCE.items() if force is order.force),
        "total_fees": number(executions.fees),
        "total_value_after_fees": number(value_after_fees(order, executions)),
        "trigger_status": "INVALID_ORDER_TYPE",
        "creation_time": stamp(order.created),
        "end_time": "0001-01-01T00:00:00Z",
        "start_time": "0001-01-01T00:00:00Z",
    }


def fill_json(fill: Fill) -> dict[str, Any]:
    """Trade ids are UUIDs on the user's side; the commission is in quote units."""
    return {
        "entry_id": named_uuid("entry", fill.account, fill.order_id, fill.sequence),
        "trade_id": named_uuid("trade", fill.symbol, fill.id),
        "order_id": order_uuid(fill.order_id),
        "trade_time": stamp(fill.time),
        "trade_type": "FILL",
        "price": number(fill.price),
        "size": number(fill.quantity),
        "commission": number(fill.fee),
        "product_id": fill.symbol,
        "sequence_timestamp": stamp(fill.time),
        "liquidity_indicator": "MAKER" if fill.maker else "TAKER",
        "size_in_quote": False,
        "user_id": named_uuid("user", fill.account),
        "side": fill.side.value,
        "retail_portfolio_id": named_uuid("portfolio", fill.account),
    }


def account_json(account: str, asset: str, balance: Balance, *, fiat: bool) -> dict[str, Any]:
    def amount(value: Decimal) -> dict[str, str]:
        return {"value": number(value), "currency": asset}

    return {
        "uuid": named_uuid("account", account, asset),
        "name": f"{asset} Wallet",
        "currency": asset,
        "available_balance": amount(balance.free),
        "default": True,
        "active": True,
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-01T00:00:00Z",
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if fiat else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": amount(balance.locked),
        "retail_portfolio_id": named_uuid("portfolio", account),
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }
