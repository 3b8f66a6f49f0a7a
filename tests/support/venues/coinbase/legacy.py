"""The few endpoints of the older v2 API that clients still read: what currencies there are."""

from __future__ import annotations

from typing import Any

from tests.support.venues.coinbase.brokerage import FIATS
from tests.support.venues.coinbase.values import named_uuid, stamp
from tests.support.venues.exchange import Exchange


def time(now: float) -> dict[str, Any]:
    return {"data": {"iso": stamp(now), "epoch": int(now)}}


def currencies(exchange: Exchange) -> dict[str, Any]:
    return {
        "data": [
            {"id": asset, "name": asset, "min_size": "0.01"}
            for asset in _assets(exchange)
            if asset in FIATS
        ]
    }


def crypto_currencies(exchange: Exchange) -> dict[str, Any]:
    return {
        "data": [
            {
                "asset_id": named_uuid("asset", asset),
                "code": asset,
                "name": asset,
                "color": "#000000",
                "sort_index": 100,
                "exponent": 8,
                "type": "crypto",
                "address_regex": "",
            }
            for asset in _assets(exchange)
            if asset not in FIATS
        ]
    }


def exchange_rates() -> dict[str, Any]:
    return {"data": {"currency": "USD", "rates": {"USD": "1"}}}


def _assets(exchange: Exchange) -> list[str]:
    return sorted({asset for m in exchange.markets.values() for asset in (m.base, m.quote)})
