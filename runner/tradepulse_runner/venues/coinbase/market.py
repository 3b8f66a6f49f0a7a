"""Products, prices and balances: JSON as Coinbase writes it -> the domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tradepulse_runner.domain import ZERO, Instrument, Order, OrderType, Positions, Quote
from tradepulse_runner.venues.coinbase.wire import Json, Malformed, decimal, items, shown, text

# Flags of a product that stop new orders, of some kind or of all.
_CLOSED_FLAGS = ("trading_disabled", "is_disabled", "cancel_only", "view_only", "auction_mode")


@dataclass(frozen=True, slots=True)
class Product:
    """One tradable pair. ``alias``: the product whose book this one shares (BTC-USDC: BTC-USD);
    the market's messages may use that one."""

    symbol: str
    base: str
    quote: str
    instrument: Instrument
    alias: str = ""
    closed: str = ""  # why no order is accepted
    limit_only: bool = False
    post_only: bool = False

    def refuses(self, order: Order) -> str:
        """Why the venue would not take ``order`` now; "" if nothing is known against it."""
        if self.closed:
            return self.closed
        if self.post_only:
            return "post_only"
        return "limit_only" if self.limit_only and order.type is OrderType.MARKET else ""


def product_from(raw: Json) -> Product:
    """An entry of the products list."""
    steps = [decimal(raw, "base_increment"), tick_from(raw)]
    if min(steps) <= 0:
        raise Malformed(f"product without steps: {shown(raw)}")
    return Product(
        text(raw, "product_id"),
        text(raw, "base_currency_id"),
        text(raw, "quote_currency_id"),
        Instrument(
            tick=steps[1],
            lot=steps[0],
            min_quantity=decimal(raw, "base_min_size"),
            min_notional=decimal(raw, "quote_min_size"),
            shortable=False,
        ),
        str(raw.get("alias") or ""),
        closed_from(raw),
        bool(raw.get("limit_only")),
        bool(raw.get("post_only")),
    )


def tick_from(raw: Json) -> Decimal:
    """Prices move by ``price_increment``; older answers have ``quote_increment`` only."""
    return decimal(raw, "price_increment") or decimal(raw, "quote_increment")


def closed_from(raw: Json) -> str:
    flags = [flag for flag in _CLOSED_FLAGS if raw.get(flag)]
    status = str(raw.get("status") or "online")
    return ", ".join(flags) or ("" if status == "online" else f"status {status}")


def balances_from(accounts: Iterable[Json]) -> dict[str, Decimal]:
    """Balance of each currency: available and on hold for open orders."""
    balances: dict[str, Decimal] = {}
    for account in accounts:
        currency = text(account, "currency")
        parts = [account.get("available_balance"), account.get("hold")]
        amount = sum((decimal(p, "value") for p in parts if isinstance(p, Mapping)), ZERO)
        balances[currency] = balances.get(currency, ZERO) + amount
    return balances


def positions_from(accounts: Iterable[Json], products: Iterable[Product]) -> Positions:
    balances = balances_from(accounts)
    return {p.symbol: balances.get(p.base, ZERO) for p in products}


def book_quotes(answer: Json, now: float) -> Iterator[tuple[str, Quote]]:
    """Product and quote of each of ``pricebooks``; one with an empty side is left out."""
    for book in items(answer, "pricebooks"):
        bids, asks = items(book, "bids"), items(book, "asks")
        if bids and asks:
            bid, ask = decimal(bids[0], "price"), decimal(asks[0], "price")
            yield text(book, "product_id"), Quote(bid, ask, now)


def ticker_quotes(event: Json, now: float) -> Iterator[tuple[str, Quote]]:
    """Product and quote of each of a ticker event's ``tickers``."""
    for ticker in items(event, "tickers"):
        bid, ask = decimal(ticker, "best_bid"), decimal(ticker, "best_ask")
        if bid > 0 and ask > 0:
            yield text(ticker, "product_id"), Quote(bid, ask, now)
