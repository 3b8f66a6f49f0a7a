"""Products, books and trades as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.support.venues.coinbase.values import number, stamp
from tests.support.venues.exchange import Exchange, Market, Side, Traded

DEPTH = 50
WHOLE_BOOK = 10_000


def product(exchange: Exchange, market: Market) -> dict[str, Any]:
    quote = exchange.quote(market.symbol)
    middle = (quote.bid + quote.ask) / 2 if quote.bid and quote.ask else None
    return {
        "product_id": market.symbol,
        "price": number(exchange.last_price(market.symbol)),
        "price_percentage_change_24h": "0",
        "volume_24h": "0",
        "volume_percentage_change_24h": "0",
        "base_increment": number(market.lot),
        "quote_increment": number(market.tick),
        "quote_min_size": number(market.min_notional),
        "quote_max_size": number(market.max_quantity * market.max_price),
        "base_min_size": number(market.min_quantity),
        "base_max_size": number(market.max_quantity),
        "base_name": market.base,
        "quote_name": market.quote,
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": market.symbol in exchange.halted,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": market.quote,
        "base_currency_id": market.base,
        "fcm_trading_session_details": None,
        "mid_market_price": number(middle) if middle else "",
        "alias": "",
        "alias_to": [],
        "base_display_symbol": market.base,
        "quote_display_symbol": market.quote,
        "view_only": False,
        "price_increment": number(market.tick),
        "display_name": market.symbol,
        "product_venue": "CBE",
        "approximate_quote_24h_volume": "0",
    }


def price_book(exchange: Exchange, symbol: str, limit: int, now: float) -> dict[str, Any]:
    """Raises the exchange's refusal for an unknown symbol."""
    sides = {name: exchange.depth(symbol, side, limit) for name, side in _SIDES.items()}
    return {
        "product_id": symbol,
        **{
            name: [{"price": number(price), "size": number(size)} for price, size in levels]
            for name, levels in sides.items()
        },
        "time": stamp(now),
    }


_SIDES = {"bids": Side.BUY, "asks": Side.SELL}


def spread(exchange: Exchange, symbol: str) -> dict[str, str]:
    """What a product book adds to its levels."""
    quote = exchange.quote(symbol)
    last = number(exchange.last_price(symbol))
    if quote.bid is None or quote.ask is None:
        return {"last": last, "mid_market": "", "spread_bps": "", "spread_absolute": ""}
    middle, width = (quote.bid + quote.ask) / 2, quote.ask - quote.bid
    return {
        "last": last,
        "mid_market": number(middle),
        "spread_bps": number((width / middle * 10_000).quantize(Decimal("0.001"))),
        "spread_absolute": number(width),
    }


def trade(traded: Traded) -> dict[str, str]:
    """``side`` is the maker's, as on the venue."""
    return {
        "trade_id": str(traded.id),
        "product_id": traded.symbol,
        "price": number(traded.price),
        "size": number(traded.quantity),
        "time": stamp(traded.time),
        "side": traded.taker.opposite,
    }


def ticker(exchange: Exchange, symbol: str) -> dict[str, str]:
    quote = exchange.quote(symbol)
    last = number(exchange.last_price(symbol))
    return {
        "type": "ticker",
        "product_id": symbol,
        "price": last,
        "volume_24_h": "0",
        "low_24_h": last,
        "high_24_h": last,
        "low_52_w": last,
        "high_52_w": last,
        "price_percent_chg_24_h": "0",
        "best_bid": number(quote.bid) if quote.bid else "",
        "best_bid_quantity": number(quote.bid_quantity),
        "best_ask": number(quote.ask) if quote.ask else "",
        "best_ask_quantity": number(quote.ask_quantity),
    }


def level_update(side: Side, price: Decimal, quantity: Decimal, now: float) -> dict[str, str]:
    """``quantity`` is what rests there now, "0" when the level is gone."""
    return {
        "side": "bid" if side is Side.BUY else "offer",
        "event_time": stamp(now),
        "price_level": number(price),
        "new_quantity": number(quantity),
    }


def level_snapshot(exchange: Exchange, symbol: str, now: float) -> dict[str, Any]:
    updates = [
        level_update(side, price, quantity, now)
        for side in Side
        for price, quantity in exchange.depth(symbol, side, WHOLE_BOOK)
    ]
    return {"type": "snapshot", "product_id": symbol, "updates": updates}
