"""Coinbase Advanced Trade, offline: the server in front of the exchange proper."""

from tests.support.venues.coinbase.brokerage import Behaviour, Replay
from tests.support.venues.coinbase.feed import Timing
from tests.support.venues.coinbase.server import BTC_USD, CoinbaseVenue

__all__ = ["BTC_USD", "Behaviour", "CoinbaseVenue", "Replay", "Timing"]
