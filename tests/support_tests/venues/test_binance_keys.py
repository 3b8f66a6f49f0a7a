"""Signatures that the documentation computed itself, with the keys that it gives as examples
(rest-api.md and web-socket-api.md of binance/binance-spot-api-docs)."""

from __future__ import annotations

import pytest

from tests.support.venues.binance.errors import ApiError
from tests.support.venues.binance.keys import KeyRing
from tests.support.venues.binance.rest import credentials

NAME = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ORDER = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
REST = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WHOLE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
MIXED = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
SOCKET = (
    f"apiKey={NAME}&newOrderRespType=ACK&price=52000.00&quantity=0.01000000&recvWindow=100"
    "&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
)
SOCKET_SIGNATURE = "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


@pytest.fixture
def ring() -> KeyRing:
    ring = KeyRing()
    ring.add(NAME, secret=SECRET, public_key_pem=None, account="one")
    return ring


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{ORDER}&{REST}&signature={WHOLE}", ""),
        ("", f"{ORDER}&{REST}&signature={WHOLE}"),
        (ORDER, f"{REST}&signature={MIXED}"),
        (f"signature={WHOLE}&{ORDER}&{REST}", ""),
    ],
)
def test_the_documented_rest_examples(ring: KeyRing, query: str, body: str) -> None:
    sent = credentials(NAME, query.encode(), body.encode())
    assert sent.signature is not None
    assert ring.find(NAME).verify(sent.payload, sent.signature)
    assert not ring.find(NAME).verify(sent.payload + b" ", sent.signature)


def test_the_documented_socket_example(ring: KeyRing) -> None:
    assert ring.find(NAME).verify(SOCKET.encode(), SOCKET_SIGNATURE)


@pytest.mark.parametrize(("secret", "pem"), [(None, None), ("a", "b")])
def test_a_key_is_one_of_the_two_kinds(secret: str | None, pem: str | None) -> None:
    with pytest.raises(ValueError, match="hmac_secret or a public_key_pem"):
        KeyRing().add("k", secret=secret, public_key_pem=pem, account="one")


def test_a_key_does_not_show_its_secret(ring: KeyRing) -> None:
    assert SECRET not in repr(ring.find(NAME))
    with pytest.raises(ApiError):
        ring.find("nobody")
