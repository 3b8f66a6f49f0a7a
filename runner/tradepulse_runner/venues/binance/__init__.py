"""Binance spot: signed REST for orders, streams for early hints (see :mod:`.connector`).

Protocol source: github.com/binance/binance-spot-api-docs (``rest-api.md``, ``web-socket-api.md``,
``web-socket-streams.md``, ``user-data-stream.md``, ``errors.md``, ``filters.md``).
"""
