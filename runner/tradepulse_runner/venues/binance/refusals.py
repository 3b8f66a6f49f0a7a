"""What an error answer of Binance means for the request (``errors.md``).

Three questions, in this order: was it refused for how much or who we are (throttled, credentials)?
Does the venue itself not know (then only a query decides)? Else it was refused, for certain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tradepulse_runner.errors import (
    CredentialsRefused,
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueThrottled,
)

BAD_TIMESTAMP = -1021
UNKNOWN_ORDER = -2011
#: UNKNOWN, DISCONNECTED, UNEXPECTED_RESP ("Execution status unknown"), TIMEOUT ("Send status
#: unknown; execution status unknown"), SERVER_BUSY and SERVICE_SHUTTING_DOWN (no promise).
_UNDECIDED = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})
_THROTTLED = frozenset({-1003, -1015})
#: UNAUTHORIZED, INVALID_SIGNATURE, BAD_API_KEY_FMT, REJECTED_MBX_KEY
_CREDENTIALS = frozenset({-1002, -1022, -2014, -2015})
#: NO_SUCH_ORDER; ORDER_ARCHIVED: closed 90 days ago without having traded.
_NOT_FOUND = frozenset({-2013, -2026})
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
#: A 429 for too many orders has no Retry-After; their shortest interval is ten seconds.
ORDER_INTERVAL = 10.0
MINUTE = 60.0


class TimestampRefused(OrderRejected):
    """Our timestamp was outside of the window: the clock is to be measured again."""


def refusal(status: int, text: str, headers: Mapping[str, str], now: float) -> OrderError:
    """The error that an answer with an HTTP ``status`` other than 200 stands for.

    ``now``: unix seconds at the server, to turn the end of a ban into a duration.
    """
    code, message = _parse(text)
    what = f"{message} ({code})" if code else f"HTTP {status}: {text[:120]!r}"
    if status in (418, 429) or code in _THROTTLED:
        return VenueThrottled(what, _pause(status, code, message, headers, now))
    if code in _CREDENTIALS:
        return CredentialsRefused(f"{what}; remedy: check the key, its permissions and its IPs")
    if status >= 500 or code in _UNDECIDED:
        return OutcomeUnknown(what)
    if code in _NOT_FOUND or (code == UNKNOWN_ORDER and message.startswith("Unknown order")):
        return OrderNotFound(what)
    if code == BAD_TIMESTAMP:
        return TimestampRefused(what)
    if message.startswith("Duplicate order"):
        # Our ids are never used twice, so the order that is in the way is this very one: the
        # request arrived more than once. It is live; a query returns its state.
        return OutcomeUnknown(what)
    return _plain(status, code, what)


def _plain(status: int, code: int, what: str) -> OrderError:
    if code < 0 and 400 <= status < 500:
        return OrderRejected(what)
    if status == 403:  # the firewall in front: nothing got behind it
        return VenueThrottled(f"{what}; blocked by the venue's firewall", MINUTE)
    # An answer that is not Binance's: a proxy answered, and whether the request got past it is
    # unknown.
    return OutcomeUnknown(what)


def _parse(text: str) -> tuple[int, str]:
    """(code, message); (0, "") for what isn't an error of Binance."""
    try:
        raw: Any = json.loads(text)
        return int(raw["code"]), str(raw.get("msg", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return 0, ""


def _pause(status: int, code: int, message: str, headers: Mapping[str, str], now: float) -> float:
    """Seconds to be silent for."""
    try:
        return max(1.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        pass
    if banned := _BANNED_UNTIL.search(message):
        return max(1.0, int(banned[1]) / 1000 - now)
    if code == -1015:
        return ORDER_INTERVAL - now % ORDER_INTERVAL
    return 2 * MINUTE if status == 418 else MINUTE - now % MINUTE
