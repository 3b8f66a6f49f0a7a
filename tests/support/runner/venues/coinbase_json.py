"""Answers in Coinbase's shapes, with the fields that matter. The complete ones are those of its own
documentation and SDK tests (docs.cdp.coinbase.com; coinbase-advanced-py ``tests/``)."""

from __future__ import annotations

from typing import Any

LIMIT = {"limit_limit_gtc": {"base_size": "0.01", "limit_price": "45000.00", "post_only": False}}


def order(**changes: Any) -> dict[str, Any]:
    """An entry of "List Orders"."""
    return {
        "order_id": "0000-000000-000001",
        "product_id": "BTC-USD",
        "user_id": "2222-000000-000000",
        "order_configuration": LIMIT,
        "side": "BUY",
        "client_order_id": "tp-1-1",
        "status": "OPEN",
        "time_in_force": "GOOD_UNTIL_CANCELLED",
        "created_time": "2024-01-15T10:00:00Z",
        "completion_percentage": "0",
        "filled_size": "0",
        "average_filled_price": "0",
        "fee": "",
        "number_of_fills": "0",
        "filled_value": "0",
        "pending_cancel": False,
        "size_in_quote": False,
        "total_fees": "0",
        "order_type": "LIMIT",
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": False,
        "product_type": "SPOT",
        "outstanding_hold_amount": "450.00",
        "last_fill_time": None,
        **changes,
    }


def fill(entry: str = "22222-2222222-22222222", **changes: Any) -> dict[str, Any]:
    """An entry of "List Fills"."""
    return {
        "entry_id": entry,
        "trade_id": "1111-11111-111111",
        "order_id": "0000-000000-000001",
        "trade_time": "2024-01-15T10:30:00Z",
        "trade_type": "FILL",
        "price": "45123.45",
        "size": "0.005",
        "commission": "1.14",
        "product_id": "BTC-USD",
        "sequence_timestamp": "2024-01-15T10:30:00.123456Z",
        "liquidity_indicator": "MAKER",
        "size_in_quote": False,
        "user_id": "3333-333333-3333333",
        "side": "BUY",
        **changes,
    }


def update(**changes: Any) -> dict[str, Any]:
    """An order of the WebSocket's user channel."""
    return {
        "avg_price": "0",
        "cancel_reason": "",
        "client_order_id": "tp-1-1",
        "completion_percentage": "0",
        "cumulative_quantity": "0",
        "leaves_quantity": "0.01",
        "limit_price": "45000",
        "number_of_fills": "0",
        "order_id": "0000-000000-000001",
        "order_side": "BUY",
        "order_type": "Limit",
        "product_id": "BTC-USD",
        "status": "OPEN",
        "time_in_force": "GOOD_UNTIL_CANCELLED",
        **changes,
    }


def product(**changes: Any) -> dict[str, Any]:
    """An entry of "List Products"."""
    return {
        "product_id": "BTC-USD",
        "price": "68923.67",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.01",
        "quote_min_size": "1",
        "base_min_size": "0.00000001",
        "base_currency_id": "BTC",
        "quote_currency_id": "USD",
        "status": "online",
        "is_disabled": False,
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "view_only": False,
        "alias": "",
        "alias_to": ["BTC-USDC"],
        **changes,
    }


def account(currency: str, available: str, hold: str) -> dict[str, Any]:
    """An entry of "List Accounts"."""
    return {
        "uuid": f"8bfc20d7-f7c6-4422-bf07-{currency}",
        "currency": currency,
        "available_balance": {"value": available, "currency": currency},
        "hold": {"value": hold, "currency": currency},
        "active": True,
    }
