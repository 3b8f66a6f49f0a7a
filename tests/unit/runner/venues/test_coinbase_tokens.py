"""Tokens, held against Coinbase's own SDK and verified with the public key alone."""

from __future__ import annotations

import base64

import jwt
import pytest
from coinbase import jwt_generator
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tradepulse_runner.credentials.store import Credential
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.venues.coinbase.tokens import Signer, load_key
from tradepulse_runner.venues.signers import PerGeneration

KEY = "organizations/1/apiKeys/2"
URI = "POST api.coinbase.com/api/v3/brokerage/orders"
ES256 = ec.generate_private_key(ec.SECP256R1())
EDDSA = ed25519.Ed25519PrivateKey.generate()


PKCS8 = serialization.PrivateFormat.PKCS8
SEC1 = serialization.PrivateFormat.TraditionalOpenSSL


def pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
    kind: serialization.PrivateFormat = PKCS8,
) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        kind,
        serialization.NoEncryption(),
    ).decode()


RAW = base64.b64encode(EDDSA.private_bytes_raw() + EDDSA.public_key().public_bytes_raw()).decode()
SECRETS = {
    "sec1": (pem(ES256, SEC1), "ES256"),
    "pkcs8": (pem(ES256), "ES256"),
    "escaped line ends": (pem(ES256).replace("\n", "\\n"), "ES256"),
    "ed25519 pem": (pem(EDDSA), "EdDSA"),
    "ed25519 seed and public key": (RAW, "EdDSA"),
    "wrapped": (RAW[:40] + "\n" + RAW[40:], "EdDSA"),
    "ed25519 seed": (base64.b64encode(EDDSA.private_bytes_raw()).decode(), "EdDSA"),
}


@pytest.mark.parametrize(("secret", "algorithm"), SECRETS.values(), ids=SECRETS)
def test_a_token_says_what_the_sdk_says_and_verifies(secret: str, algorithm: str) -> None:
    token = Signer(Credential(KEY, secret)).token(1000.7, 1015.7, URI)
    theirs = jwt_generator.build_rest_jwt(URI, KEY, secret.replace("\\n", "\n"))

    public = (ES256 if algorithm == "ES256" else EDDSA).public_key()
    claims = jwt.decode(token, public, [algorithm], options={"verify_exp": False})
    expected = jwt.decode(theirs, public, [algorithm])
    assert claims.keys() == expected.keys()
    same = {name: claims[name] for name in ("sub", "iss", "uri")}
    assert same == {name: expected[name] for name in same}
    assert (claims["nbf"], claims["exp"]) == (995, 1015)

    header, reference = (jwt.get_unverified_header(t) for t in (token, theirs))
    assert header.keys() == reference.keys()
    assert (header["alg"], header["kid"]) == (reference["alg"], KEY)


def test_a_token_for_a_websocket_names_no_request() -> None:
    token = Signer(Credential(KEY, RAW)).token(1000, 1015)
    theirs = jwt_generator.build_ws_jwt(KEY, RAW)
    claims, expected = (
        jwt.decode(t, EDDSA.public_key(), ["EdDSA"], options={"verify_exp": False})
        for t in (token, theirs)
    )
    assert claims.keys() == expected.keys()


def test_no_two_tokens_share_a_nonce() -> None:
    signer = Signer(Credential(KEY, RAW))
    nonces = {jwt.get_unverified_header(signer.token(0, 9, URI))["nonce"] for _ in range(50)}
    assert len(nonces) == 50


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        base64.b64encode(b"too short").decode(),
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["a password", "short", "broken pem", "another curve", "rsa"],
)
def test_a_secret_of_another_kind_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"^COINBASE_API_SECRET: .*remedy") as caught:
        load_key(secret)
    assert secret not in str(caught.value)
    assert secret[30:60] not in str(caught.value) or not secret[30:60]


def test_a_key_is_parsed_once_a_generation() -> None:
    cache = PerGeneration(Signer)
    first = cache.of(Credential(KEY, RAW, 1))
    assert cache.of(Credential(KEY, RAW, 1)) is first
    assert cache.of(Credential(KEY, pem(ES256), 2)) is not first
