"""The options of a Coinbase venue, and where its servers are."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

from pydantic import Field, StringConstraints

from tradepulse_runner.config.runner import Model, Seconds, VenueConfig, parse_model
from tradepulse_runner.errors import ConfigError

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+$")]
SocketUrl = Annotated[str, StringConstraints(pattern=r"^wss?://[^\s?#]+$")]

REST = "https://api.coinbase.com"
MARKET_STREAM = "wss://advanced-trade-ws.coinbase.com"
USER_STREAM = "wss://advanced-trade-ws-user.coinbase.com"


class CoinbaseOptions(Model):
    """``venues[].options`` of a Coinbase venue. Times are seconds.

    The urls replace Coinbase's own. ``token_lifetime``: how long a signed request may be on its
    way; ``fence_margin`` is added to it before "not found" proves that an order was never accepted
    (see :mod:`~tradepulse_runner.venues.coinbase.connector`). ``silence``: a stream from which
    nothing comes for so long, although it owes a heartbeat a second, is lost.
    """

    rest_url: HttpUrl = REST
    ws_url: SocketUrl = MARKET_STREAM
    ws_user_url: SocketUrl = USER_STREAM
    # Longer than a session waits for an answer: a token can't expire under a request that is
    # still listened to, and so pass for refused credentials. Coinbase allows 120 at most.
    token_lifetime: Annotated[int, Field(ge=12, le=90)] = 15
    fence_margin: Annotated[Seconds, Field(le=600)] = 15.0
    silence: Annotated[Seconds, Field(ge=0.2, le=60)] = 5.0


def parse_options(venue: VenueConfig, *, source: str) -> CoinbaseOptions:
    """The options of ``venue``, its symbols checked. Raises :class:`ConfigError`."""
    field = f"{source}: venues.{venue.name}"
    options = parse_model(
        CoinbaseOptions, venue.options, source=source, prefix=f"venues.{venue.name}.options"
    )
    if venue.sandbox and options.rest_url == REST:
        raise ConfigError(
            f"{field}.sandbox: true, but Coinbase's sandbox answers with fixed texts, and nothing "
            "can be traded there; remedy: let options.rest_url, ws_url and ws_user_url name a "
            "venue to practise on, or set sandbox: false to trade with real money"
        )
    for symbol in venue.symbols:
        base, _, quote = symbol.partition("-")
        if not (base and quote and symbol == symbol.upper()) or "-" in quote:
            remedy = "write it as Coinbase does, for example BTC-USD"
            raise ConfigError(f"{field}.symbols: value {symbol!r}; remedy: {remedy}")
    _require_own_assets(f"{field}.symbols", venue.symbols)
    return options


def _require_own_assets(field: str, symbols: list[str]) -> None:
    for one, other in combinations(symbols, 2):
        (base, quote), (base2, quote2) = one.split("-"), other.split("-")
        if shared := {base} & {base2, quote2} or {quote} & {base2}:
            raise ConfigError(
                f"{field}: {one} and {other} share the asset {shared.pop()}, and one balance "
                "cannot be told apart into two positions; remedy: keep one of them"
            )
