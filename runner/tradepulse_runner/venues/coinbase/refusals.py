"""What an answer that isn't a success proves: the order is certainly not live, or it may be.

HTTP 4xx from the gateway refuse a request before it is looked at. An order that the venue looked
at and refused is an ordinary answer (HTTP 200) with ``success: false`` and a reason
(docs.cdp.coinbase.com, "Create Order": ``new_order_failure_reason``). 5xx prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tradepulse_runner.errors import (
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueThrottled,
)

#: Seconds to wait after a 429 without a time: limits are counted by the second.
DEFAULT_RETRY = 1.0
# Refused at the door. Not 408 and 409: those may come from beyond it.
_REFUSED = frozenset({400, 403, 404, 405, 406, 411, 413, 414, 415, 422, 429, 431, 451})
#: An order of our id is there: whether it is this one must be asked.
TAKEN = "DUPLICATE_CLIENT_ORDER_ID"


class Unauthorized(OrderRejected):
    """HTTP 401: the token was refused, and the request with it."""


def refusal(
    name: str, status: int, text: str, headers: Mapping[str, str], *, decides: bool
) -> OrderError:
    """The error for an HTTP answer that isn't 200. ``decides``: to a request to make an order."""
    why = f"{name}: HTTP {status}: {_message(text)}"
    if status == 401:
        return Unauthorized(why)
    if status == 429:
        return VenueThrottled(why, _retry_after(headers))
    if status == 404 and not decides:
        return OrderNotFound(why)
    if status in _REFUSED:
        return OrderRejected(why)
    return OutcomeUnknown(why)


def create_refusal(name: str, answer: Mapping[str, Any]) -> OrderError:
    """The error for a create-order answer with ``success: false``."""
    error = answer.get("error_response")
    detail: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    # ``error`` is the deprecated field; the top-level reason is "UNKNOWN_…" in successes, too.
    named = (detail.get("new_order_failure_reason"), detail.get("error"))
    reasons = [str(reason) for reason in named if reason]
    certain = [reason for reason in reasons if reason != "UNKNOWN_FAILURE_REASON"]
    preview = str(detail.get("preview_failure_reason") or "")
    if not certain and preview.startswith("PREVIEW_"):  # refused before it was an order
        certain = [preview]
    detail_text = str(detail.get("message") or detail.get("error_details") or "")[:200]
    if certain and TAKEN not in certain:
        return OrderRejected(f"{name}: {certain[0]}: {detail_text}")
    return OutcomeUnknown(f"{name}: {(certain or reasons or ['no reason'])[0]}: {detail_text}")


def _retry_after(headers: Mapping[str, str]) -> float:
    for field in ("Retry-After", "x-ratelimit-reset"):
        value = headers.get(field, "")
        if value.isdigit() and int(value) <= 86_400:
            return max(DEFAULT_RETRY, float(value))
    return DEFAULT_RETRY


def _message(text: str) -> str:
    """The readable part of an error's body, which may be JSON or the page of a proxy."""
    try:
        body = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200]
    if not isinstance(body, dict):
        return str(body)[:200]
    parts = [str(body[k]) for k in ("error", "message", "error_details", "errors") if body.get(k)]
    return ": ".join(dict.fromkeys(parts))[:200]
