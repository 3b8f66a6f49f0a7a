"""Signatures against the examples that Binance's documentation publishes, and RFC 8032."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_runner.credentials.store import Credential
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.venues.binance.signing import (
    make_signer,
    sign_params,
    signed_query,
)
from tradepulse_runner.venues.signers import PerGeneration

# rest-api.md, "SIGNED Endpoint Examples for POST /api/v3/order", HMAC keys.
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
EXAMPLE = {
    "symbol": "LTCBTC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "0.1",
    "recvWindow": "5000",
    "timestamp": "1499827319559",
}
ENCODED = "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"


def _pem(key: Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> str:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def test_hmac_example_of_the_documentation() -> None:
    query = signed_query(EXAMPLE, make_signer(SECRET))
    assert query == (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
        "&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )


def test_hmac_example_with_a_symbol_that_is_not_ascii() -> None:
    """Percent-encoded first, signed next: the other order is refused since 15 January 2026."""
    query = signed_query({**EXAMPLE, "symbol": "１２３４５６"}, make_signer(SECRET))
    assert query.startswith(f"symbol={ENCODED}&side=BUY")
    assert query.endswith(
        "&signature=e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
    )


def test_hmac_example_of_the_websocket_api() -> None:
    """web-socket-api.md, "SIGNED request example (HMAC)": sorted by name."""
    signed = sign_params(
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01000000",
            "price": "52000.00",
            "newOrderRespType": "ACK",
            "recvWindow": "100",
            "timestamp": "1645423376532",
            "apiKey": KEY,
        },
        make_signer(SECRET),
    )
    assert signed["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def test_ed25519_test_vector_2_of_rfc_8032() -> None:
    """The documentation's own Ed25519 example is 256 bytes long: not a signature of that kind."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = make_signer(_pem(Ed25519PrivateKey.from_private_bytes(seed)))
    assert base64.b64decode(signer.sign(b"\x72")).hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.dictionaries(st.from_regex(r"[a-zA-Z]{1,8}", fullmatch=True), st.text(), min_size=1))
def test_ed25519_signs_the_bytes_that_are_sent(params: dict[str, str]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
    params.pop("signature", None)
    query = signed_query(params, make_signer(_pem(key)))
    assert query.isascii()
    payload, _, signature = query.rpartition("signature=")
    key.public_key().verify(
        base64.b64decode(unquote(signature)), payload.removesuffix("&").encode()
    )
    assert "+" not in signature  # a plus would arrive as a blank
    received = dict(parse_qsl(payload, keep_blank_values=True, errors="surrogatepass"))
    assert received == params


@pytest.mark.parametrize(
    "pem",
    [
        _pem(rsa.generate_private_key(65537, 2048)),
        _pem(Ed25519PrivateKey.generate(), b"password"),
        "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----",
    ],
    ids=["rsa", "encrypted", "damaged"],
)
def test_a_pem_that_cannot_sign_is_refused_without_being_shown(pem: str) -> None:
    with pytest.raises(ConfigError, match=r"BINANCE_API_SECRET.*remedy") as caught:
        make_signer(pem)
    assert pem[40:60] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_is_parsed_once_and_again_when_it_was_replaced() -> None:
    cache = PerGeneration(lambda used: make_signer(used.secret))
    first = cache.of(Credential(KEY, SECRET, 1))
    assert cache.of(Credential(KEY, SECRET, 1)) is first
    second = cache.of(Credential(KEY, SECRET[::-1], 2))
    assert second.sign(b"x") == make_signer(SECRET[::-1]).sign(b"x") != first.sign(b"x")
