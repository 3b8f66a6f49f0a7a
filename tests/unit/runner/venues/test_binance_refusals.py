"""What each of Binance's error answers says about the fate of an order (errors.md)."""

from __future__ import annotations

import json

import pytest

from tradepulse_runner.errors import (
    CredentialsRefused,
    OrderError,
    OrderNotFound,
    OrderRejected,
    OutcomeUnknown,
    VenueThrottled,
)
from tradepulse_runner.venues.binance.refusals import TimestampRefused, refusal

NOW = 1_700_000_013.0


def _told(
    status: int, code: int | None, message: str = "", headers: dict[str, str] | None = None
) -> OrderError:
    text = message if code is None else json.dumps({"code": code, "msg": message})
    return refusal(status, text, headers or {}, NOW)


REFUSED = [
    (400, -1013, "Filter failure: LOT_SIZE"),
    (400, -1013, "Filter failure: PRICE_FILTER"),
    (400, -1100, "Illegal characters found in a parameter."),
    (400, -1111, "Parameter 'quantity' has too much precision."),
    (400, -1121, "Invalid symbol."),
    (400, -2010, "Account has insufficient balance for requested action."),
    (400, -2010, "Market is closed."),
    (400, -2010, "This symbol is not permitted for this account."),
    (400, -2011, "Order was not canceled due to cancel restrictions."),
    (400, -1220, "A code that is younger than this program"),
]


@pytest.mark.parametrize(("status", "code", "message"), REFUSED)
def test_a_refusal_is_certain(status: int, code: int, message: str) -> None:
    error = _told(status, code, message)
    assert type(error) is OrderRejected
    assert message in str(error)
    assert str(code) in str(error)


UNDECIDED = [
    (400, -1000, "An unknown error occurred while processing the request."),
    (400, -1001, "Internal error; unable to process your request. Please try again."),
    (400, -1006, "An unexpected response was received from the message bus."),
    (400, -1007, "Timeout waiting for response from backend server."),
    (504, -1007, "Timeout waiting for response from backend server."),
    (400, -1008, "Server is currently overloaded with other requests."),
    (400, -1016, "This service is no longer available."),
    (500, -1013, "a filter failure from a broken server proves nothing"),
    (503, None, "<html>Service Unavailable</html>"),
    (502, None, ""),
    (408, None, "a proxy gave up waiting"),
    (400, None, "<html>who is speaking?</html>"),
    (404, None, "[1]"),
    (409, 0, "no error of Binance"),
    (302, None, ""),
]


@pytest.mark.parametrize(("status", "code", "message"), UNDECIDED)
def test_what_the_venue_does_not_know_stays_unknown(
    status: int, code: int | None, message: str
) -> None:
    assert type(_told(status, code, message)) is OutcomeUnknown


def test_a_duplicate_is_our_own_order_so_only_the_query_tells() -> None:
    assert type(_told(400, -2010, "Duplicate order sent.")) is OutcomeUnknown


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-2013, "Order does not exist."),
        (-2026, "Order was canceled or expired with no executed qty over 90 days ago."),
        (-2011, "Unknown order sent."),
    ],
)
def test_not_found(code: int, message: str) -> None:
    assert type(_told(400, code, message)) is OrderNotFound


@pytest.mark.parametrize("code", [-1002, -1022, -2014, -2015])
def test_credentials_are_refused_with_a_remedy(code: int) -> None:
    error = _told(401, code, "Invalid API-key, IP, or permissions for action.")
    assert type(error) is CredentialsRefused
    assert "remedy" in str(error)


def test_a_wrong_timestamp_is_a_refusal_of_its_own() -> None:
    error = _told(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    assert type(error) is TimestampRefused
    assert isinstance(error, OrderRejected)


@pytest.mark.parametrize(
    ("status", "code", "message", "headers", "pause"),
    [
        (429, -1003, "Too much request weight used", {"Retry-After": "7"}, 7.0),
        (418, -1003, "IP banned until 1700000133000.", {}, 120.0),
        (418, -1003, "IP banned until 1700000133000.", {"Retry-After": "119"}, 119.0),
        (429, -1015, "Too many new orders.", {}, 7.0),  # until the next ten seconds begin
        (429, -1003, "Too much request weight used", {"Retry-After": "soon"}, 27.0),
        (418, None, "", {}, 120.0),
        (429, None, "", {}, 27.0),
        (403, None, "<html>WAF</html>", {}, 60.0),
    ],
)
def test_a_throttle_says_for_how_long(
    status: int, code: int | None, message: str, headers: dict[str, str], pause: float
) -> None:
    error = _told(status, code, message, headers)
    assert isinstance(error, VenueThrottled)
    assert error.retry_after == pytest.approx(pause)
