"""The quote currency of a symbol."""

from __future__ import annotations

import re

# Of symbols without a separator (BTCUSDT); longer names first, so that USDT isn't taken for USD.
_KNOWN = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "BTC", "ETH",
    "BNB",
)  # fmt: skip


def quote_currency(symbol: str) -> str:
    """``USD`` of BTC-USD or BTC/USD, ``USDT`` of BTCUSDT; "" when it can't be derived."""
    parts = re.split(r"[-/_]", symbol.upper())
    if len(parts) > 1:
        return parts[-1]
    return next((c for c in _KNOWN if parts[0].endswith(c) and parts[0] != c), "")
