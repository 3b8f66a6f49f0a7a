"""What an answer proves of an order: certainly not live, or perhaps."""

from __future__ import annotations

from typing import Any

import pytest

from tradepulse_runner.errors import (
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueThrottled,
)
from tradepulse_runner.venues.coinbase.refusals import Unauthorized, create_refusal, refusal


@pytest.mark.parametrize(
    ("status", "asking", "making"),
    [
        (400, OrderRejected, OrderRejected),
        (401, Unauthorized, Unauthorized),
        (403, OrderRejected, OrderRejected),
        (404, OrderNotFound, OrderRejected),
        (408, OutcomeUnknown, OutcomeUnknown),
        (409, OutcomeUnknown, OutcomeUnknown),
        (429, VenueThrottled, VenueThrottled),
        (302, OutcomeUnknown, OutcomeUnknown),
        (500, OutcomeUnknown, OutcomeUnknown),
        (502, OutcomeUnknown, OutcomeUnknown),
        (503, OutcomeUnknown, OutcomeUnknown),
        (504, OutcomeUnknown, OutcomeUnknown),
        (520, OutcomeUnknown, OutcomeUnknown),
    ],
)
def test_http_statuses(status: int, asking: type[OrderError], making: type[OrderError]) -> None:
    assert type(refusal("cb", status, "", {}, decides=False)) is asking
    assert type(refusal("cb", status, "", {}, decides=True)) is making


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"x-ratelimit-reset": "3"}, 3.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"x-ratelimit-reset": "1764000000"}, 1.0),  # a point in time, not a duration
        ({}, 1.0),
    ],
)
def test_how_long_to_be_silent(headers: dict[str, str], seconds: float) -> None:
    error = refusal("cb", 429, "", headers, decides=True)
    assert isinstance(error, VenueThrottled)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"error":"NOT_FOUND","message":"no such order","error_details":"x"}', "no such order"),
        ("<html>\n<h1>502 Bad Gateway</h1>", "502 Bad Gateway"),
        ('{"errors":[{"id":"rate_limit_exceeded","message":"Too many"}]}', "Too many"),
        ("Unauthorized\n", "Unauthorized"),
        ("[]", "[]"),
    ],
)
def test_the_text_says_what_the_venue_said(text: str, shown: str) -> None:
    assert shown in str(refusal("cb", 500, text, {}, decides=False))


def refused(**error: Any) -> dict[str, Any]:
    return {"success": False, "failure_reason": "UNKNOWN_FAILURE_REASON", "error_response": error}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(new_order_failure_reason="INSUFFICIENT_FUND"), OrderRejected),
        (refused(error="UNSUPPORTED_ORDER_CONFIGURATION", message="why"), OrderRejected),
        (
            refused(
                error="UNKNOWN_FAILURE_REASON", preview_failure_reason="PREVIEW_INSUFFICIENT_FUND"
            ),
            OrderRejected,
        ),
        (
            refused(
                new_order_failure_reason="UNKNOWN_FAILURE_REASON",
                preview_failure_reason="UNKNOWN_PREVIEW_FAILURE_REASON",
            ),
            OutcomeUnknown,
        ),
        # Then an order of our id is there: it may be this one.
        (refused(new_order_failure_reason="DUPLICATE_CLIENT_ORDER_ID"), OutcomeUnknown),
        (
            refused(error="INVALID", new_order_failure_reason="DUPLICATE_CLIENT_ORDER_ID"),
            OutcomeUnknown,
        ),
        (refused(), OutcomeUnknown),
        ({"success": False, "error_response": None}, OutcomeUnknown),
        ({"success": False, "error_response": "INSUFFICIENT_FUND"}, OutcomeUnknown),
    ],
)
def test_an_order_that_the_venue_looked_at(answer: dict[str, Any], kind: type[OrderError]) -> None:
    assert type(create_refusal("cb", answer)) is kind
