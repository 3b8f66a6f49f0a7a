"""The options of a Binance venue, and where its servers are."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

from pydantic import Field, StringConstraints

from tradepulse_runner.config.runner import Model, Seconds, VenueConfig, parse_model
from tradepulse_runner.errors import ConfigError

Url = Annotated[str, StringConstraints(pattern=r"^(https?|wss?)://[^\s/?#]+[^\s?#]*$")]

PRODUCTION = (
    "https://api.binance.com",
    "wss://ws-api.binance.com:443/ws-api/v3",
    "wss://stream.binance.com:443",
)
TESTNET = (
    "https://testnet.binance.vision",
    "wss://ws-api.testnet.binance.vision/ws-api/v3",
    "wss://stream.testnet.binance.vision",
)
# Only to find, before anything is asked, two symbols of one base asset. Longer names first.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD1", "DAI", "BTC", "ETH", "BNB", "EUR", "TRY",
    "BRL", "JPY", "ARS", "MXN", "PLN", "RON", "UAH", "ZAR", "GBP", "AUD", "USD",
)  # fmt: skip


class BinanceOptions(Model):
    """``venues[].options`` of a Binance venue.

    The urls replace the ones chosen by ``sandbox``. ``recv_window`` milliseconds a request stays
    valid; ``clock_margin`` seconds added to it before "not found" proves that an order was never
    accepted (see :class:`~tradepulse_runner.venues.binance.connector.BinanceConnector`).
    """

    rest_url: Url | None = None
    ws_api_url: Url | None = None
    stream_url: Url | None = None
    recv_window: Annotated[int, Field(ge=100, le=60_000)] = 5000
    clock_margin: Annotated[Seconds, Field(le=600)] = 10.0

    def urls(self, *, sandbox: bool) -> tuple[str, str, str]:
        """REST, WebSocket API and market stream."""
        rest, ws_api, stream = TESTNET if sandbox else PRODUCTION
        chosen = (self.rest_url or rest, self.ws_api_url or ws_api, self.stream_url or stream)
        return (chosen[0].rstrip("/"), chosen[1], chosen[2].rstrip("/"))


def parse_options(venue: VenueConfig, *, source: str) -> BinanceOptions:
    """The options of ``venue``, its symbols checked. Raises :class:`ConfigError`."""
    field = f"venues.{venue.name}"
    options = parse_model(BinanceOptions, venue.options, source=source, prefix=f"{field}.options")
    for symbol in venue.symbols:
        if not (symbol.isalnum() and symbol == symbol.upper()):
            remedy = "write it as Binance does, for example BTCUSDT"
            raise ConfigError(f"{source}: {field}.symbols: value {symbol!r}; remedy: {remedy}")
    for one, other in combinations(venue.symbols, 2):
        if (base := _base(one)) and base == _base(other):
            raise ConfigError(shared_base(f"{source}: {field}.symbols", base, one, other))
    return options


def shared_base(field: str, base: str, one: str, other: str) -> str:
    """Why two symbols of one base asset can't be traded at one venue."""
    return (
        f"{field}: {one} and {other} share the asset {base}, and one balance cannot be told "
        "apart into two positions; remedy: keep one of them"
    )


def _base(symbol: str) -> str:
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)]
    return ""
