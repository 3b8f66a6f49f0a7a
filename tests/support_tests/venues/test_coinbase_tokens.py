"""The venue takes what Coinbase's own library signs, and refuses every way to get it wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from coinbase.jwt_generator import build_rest_jwt, build_ws_jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.venues.coinbase.keys import KEY_NAME, KeyPair, make_ed25519, make_es256
from tests.support.venues.coinbase.tokens import Keyring, TokenRefused

REQUEST = "GET 127.0.0.1:8080/api/v3/brokerage/accounts"
PAIR = make_es256()


def keyring(pair: KeyPair = PAIR, clock: Callable[[], float] = time.time) -> Keyring:
    ring = Keyring(clock)
    ring.add(pair.name, pair.public_key_pem, "runner")
    return ring


@pytest.mark.parametrize("make", [make_es256, make_ed25519])
def test_what_the_official_library_signs_is_taken(make: Callable[[], KeyPair]) -> None:
    pair = make()
    rest = build_rest_jwt(REQUEST, pair.name, pair.secret)
    assert keyring(pair).holder(rest, REQUEST).account == "runner"
    assert keyring(pair).holder(build_ws_jwt(pair.name, pair.secret)).name == pair.name


def forge(
    claims: dict[str, Any] | None = None, headers: dict[str, Any] | None = None, **options: Any
) -> str:
    now = int(time.time())
    body = {"sub": KEY_NAME, "iss": "cdp", "nbf": now, "exp": now + 120, "uri": REQUEST}
    head = {"kid": KEY_NAME, "nonce": "0badc0de"}
    key = options.get("key", PAIR.secret)
    return jwt.encode(
        {k: v for k, v in {**body, **(claims or {})}.items() if v is not None},
        key,
        algorithm=options.get("algorithm", "ES256"),
        headers={k: v for k, v in {**head, **(headers or {})}.items() if v is not None},
    )


def test_the_forger_can_also_do_it_right() -> None:
    assert keyring().holder(forge(), REQUEST).name == KEY_NAME


def in_seconds(begin: int, end: int) -> dict[str, Any]:
    now = int(time.time())
    return {"nbf": now + begin, "exp": now + end}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: forge({"uri": "POST 127.0.0.1:8080/api/v3/brokerage/orders"}), "made for"),
        (lambda: forge({"uri": None}), "made for"),
        (lambda: forge({"iss": "coinbase"}), "iss"),
        (lambda: forge({"sub": "somebody else"}), "sub"),
        (lambda: forge(headers={"kid": "organizations/x/apiKeys/other"}), "no key is named"),
        (lambda: forge(headers={"nonce": None}), "nonce"),
        (lambda: forge(in_seconds(-600, -480)), "expired"),
        (lambda: forge(in_seconds(600, 720)), "not valid"),
        (lambda: forge(in_seconds(0, 3600)), "at most 120"),
        (lambda: forge({"exp": None}), "whole seconds"),
        (lambda: forge(key=make_es256().secret), "InvalidSignature"),
        (lambda: forge(key="x" * 64, algorithm="HS256"), "InvalidAlgorithm"),
        (lambda: "not.a.token", "not a token"),
    ],
)
def test_refused(make: Callable[[], str], why: str) -> None:
    with pytest.raises(TokenRefused, match=why):
        keyring().holder(make(), REQUEST)


def test_the_venues_clock_decides_not_the_machines() -> None:
    token = forge()
    with pytest.raises(TokenRefused, match="expired"):
        keyring(clock=lambda: time.time() + 121).holder(token, REQUEST)
    with pytest.raises(TokenRefused, match="not valid for another"):
        keyring(clock=lambda: time.time() - 30).holder(token, REQUEST)


def test_a_revoked_key_opens_nothing() -> None:
    ring = keyring()
    ring.remove(KEY_NAME)
    with pytest.raises(TokenRefused, match="no key is named"):
        ring.holder(forge(), REQUEST)


def test_only_the_curves_that_coinbase_takes_can_be_registered() -> None:
    pem = (
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(ValueError, match="secp384r1"):
        Keyring(time.time).add("k", pem, "runner")
