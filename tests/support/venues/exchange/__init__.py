"""An exchange: books, matching, balances. Pure, synchronous, deterministic; knows no protocol.

It imports nothing of the programs under test: it is their counter-party, not their mirror.
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
    SelfTrade,
    Side,
    Status,
    Traded,
)
from tests.support.venues.exchange.exchange import Exchange

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
