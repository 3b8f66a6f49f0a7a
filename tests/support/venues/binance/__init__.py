"""A Binance spot venue on this machine: REST, WebSocket API, user data stream, market streams.

Written from binance/binance-spot-api-docs (rest-api.md, web-socket-api.md, user-data-stream.md,
web-socket-streams.md, errors.md, filters.md, enums.md); its README says what is left out.
"""

from tests.support.venues.binance.venue import BinanceVenue

__all__ = ["BinanceVenue"]
