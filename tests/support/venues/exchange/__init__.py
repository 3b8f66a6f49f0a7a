"""An exchange: books, matching, balances. Pure, synchronous, deterministic; knows no protocol.

Of the programs under test it shares the order book and its matching, which another engine is
compared with (``tests.support.venues.oracle``), and nothing else: it is their counter-party, not
their mirror.
"""

from tests.support.venues.exchange.crowd import Crowd
from tests.support.venues.exchange.domain import (
    Balance,
    BalanceChanged,
    BookChanged,
    Cause,
    Deposited,
    Event,
    FeeFrom,
    Fill,
    Force,
    Kind,
    Market,
    NewOrder,
    OrderChanged,
    OrderView,
    Quote,
    Reason,
    Refused,
    Side,
    Status,
    Traded,
)
from tests.support.venues.exchange.exchange import Exchange
from tradepulse_runner.venues.matching import SelfTrade

__all__ = [
    "Balance",
    "BalanceChanged",
    "BookChanged",
    "Cause",
    "Crowd",
    "Deposited",
    "Event",
    "Exchange",
    "FeeFrom",
    "Fill",
    "Force",
    "Kind",
    "Market",
    "NewOrder",
    "OrderChanged",
    "OrderView",
    "Quote",
    "Reason",
    "Refused",
    "SelfTrade",
    "Side",
    "Status",
    "Traded",
]
