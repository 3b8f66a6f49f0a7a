"""Secrets in free text."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_operator.incident import redact as redaction
from tradepulse_operator.incident.redact import LONGEST_LINE, redact, shortened


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
        r"{\"api_secret\":\"hunter2\"}",
        "pwd=hunter2",
        "user=x pass=hunter2",
        "('BINANCE_API_SECRET', 'hunter2')",
        "secret -> hunter2",
        "CB-ACCESS-SIGN: hunter2",
        '{"listenKey": "hunter2"}',
        'secret="hunter2 without an end',
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


_parser: Any = import_module("re._parser")

#: Begun again and again, each of these once made a search start anew at every character.
HOSTILE = (
    *("a-", "a.", "eyJ-", "eyJ.", "secret", "secret=", 'secret="', "secret='\\\\", 'secret:\\\\"'),
    *("-----BEGIN A-----", "-----BEGIN ", "-----END A-----", "://a:", "://", "bearer ", "basic\t"),
    *(
        "authorization: ",
        "authorization ",
        "authorization:'",
        "password \t",
        "\\\\",
        " ",
        "\n",
        "@",
    ),
    *("token\\\\\\\\", "AKIA", "secret, ", "'secret', '", "\ud800", "\x00", "((((", "-_.-_."),
)


@pytest.mark.parametrize("begun", HOSTILE, ids=repr)
@pytest.mark.parametrize("end", ["", "!"])
def test_time_grows_with_the_length_and_no_faster(begun: str, end: str) -> None:
    def cpu(length: int) -> float:
        text = (begun * (length // len(begun) + 1))[:length] + end
        started = time.process_time()
        redact(shortened(text, length))
        redact(text)
        return time.process_time() - started

    short, long = 1 << 14, 1 << 18
    cpu(short)
    # Sixteen times the text: 16 where it is linear, 256 where it is quadratic.
    assert min(cpu(long) for _ in range(2)) < 64 * max(0.002, min(cpu(short) for _ in range(3)))


def test_no_pattern_repeats_what_repeats() -> None:
    """Nested quantifiers are what makes a search exponential."""
    patterns = [it for it in vars(redaction).values() if isinstance(it, re.Pattern)]
    assert len(patterns) > 5
    for pattern in patterns:
        assert not _nested(_parser.parse(pattern.pattern, pattern.flags)), pattern.pattern


def _nested(found: Any, within: bool = False) -> bool:
    for what, about in found:
        repeats = what in (_parser.MAX_REPEAT, _parser.MIN_REPEAT)
        if repeats and (within or _nested(about[2], True)):
            return True
        inner = [about[-1]] if what is _parser.SUBPATTERN else []
        inner += list(about[1]) if what is _parser.BRANCH else []
        inner += [about[1]] if what in (_parser.ASSERT, _parser.ASSERT_NOT) else []
        if any(_nested(one, within) for one in inner):
            return True
    return False


def test_what_is_bounded_keeps_whole_lines_and_no_half_of_a_key() -> None:
    lines = [f"{n} secret=hunter2" for n in range(1000)]
    found = redact(shortened("\n".join(lines), 500))
    assert "hunter2" not in found
    assert found.splitlines()[-1] == "999 secret=[redacted]"
    assert len(found) <= 700
    assert shortened("x" * 10_000, 500).startswith("[truncated: the first 10000 of 10000 ")
    long = shortened("secret=" + "x" * 10_000, 20_000)
    assert len(long) < LONGEST_LINE + 50
    assert long.endswith("more characters left out]")
    pem = "-----BEGIN PRIVATE KEY-----\n" + "hunter2\n" * 100 + "-----END PRIVATE KEY-----\nend"
    assert "hunter2" not in shortened(pem, 50)
