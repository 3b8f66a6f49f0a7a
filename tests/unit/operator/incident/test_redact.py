"""Secrets in free text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.incident.redact import redact


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "PASSWORD: hunter2",
        '{"api_key": "hunter2", "x": 1}',
        "{'apiKey': 'hunter2'}",
        "BINANCE_API_SECRET=hunter2 next",
        'export TOKEN="hunter2 with \\" quote hunter2"',
        "Authorization: Bearer hunter2hunter2",
        "authorization: HMAC hunter2",
        "curl -H 'Authorization: Basic hunter2hunter2'",
        "sent Bearer hunter2.hunter2-x",
        "postgresql://user:hunter2@db/x",
        "GET /order?symbol=BTC&signature=hunter2&recvWindow=5000",
        "dsn=hunter2",
        "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----",
        "2026 -----BEGIN PRIVATE KEY-----\n2026 hunter2\n(cut)",
        "cookie eyJhbGciOiJI.eyJodW50ZXIy.hunter2",
    ],
)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    found = redact(text)
    assert "hunter2" not in found
    assert "[redacted]" in found


@pytest.mark.parametrize(
    "text",
    [
        "order btc-0-7-12 refused: insufficient balance",
        "state=TRADING epoch=7 open_orders=3",
        "https://api.example.test/v3/order took 120 ms",
        "the key to success",
        "monkey=banana",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redact(text) == text


def test_what_follows_a_secret_stays() -> None:
    assert redact("a?signature=abc&symbol=BTC") == "a?signature=[redacted]&symbol=BTC"
    assert redact('{"token": "a", "symbol": "BTC"}') == '{"token": [redacted], "symbol": "BTC"}'


@given(st.text(max_size=500))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)
