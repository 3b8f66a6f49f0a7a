"""Request signatures: HMAC-SHA256 with a shared secret, or Ed25519 with a private key.

What is signed is exactly what is sent: parameters are percent-encoded first, signed next, and the
signature is appended to the same text (``rest-api.md``, "SIGNED Endpoint Examples": "Any non-ASCII
character must be percent-encoded before signing").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tradepulse_runner.errors import ConfigError

Params = Mapping[str, str]


class Signer(Protocol):
    """Signs the bytes of a request; the result is hexadecimal or base64 text."""

    def sign(self, payload: bytes) -> str: ...


class HmacSigner:
    """HMAC-SHA256. The key schedule is computed once, and copied for every request."""

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        one = self._keyed.copy()
        one.update(payload)
        return one.hexdigest()


class Ed25519Signer:
    """Ed25519; the PEM is parsed once. Raises :class:`ConfigError`, never showing the key."""

    def __init__(self, pem: str) -> None:
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(
                "BINANCE_API_SECRET: looks like a PEM but is not an unencrypted private key; "
                "remedy: provide the PKCS#8 PEM of an Ed25519 key"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                "BINANCE_API_SECRET: the private key is not Ed25519; remedy: register an Ed25519 "
                "key at Binance, or use an HMAC secret"
            )
        self._key = key

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._key.sign(payload)).decode()


def make_signer(secret: str) -> Signer:
    """The scheme is chosen by what the secret is: a PEM is a key pair, all else is HMAC."""
    return Ed25519Signer(secret) if secret.startswith("-----BEGIN") else HmacSigner(secret)


def signed_query(params: Params, signer: Signer) -> str:
    """The query string of a REST request, signature last."""
    query = urlencode(params, quote_via=quote)
    return f"{query}&signature={quote(signer.sign(query.encode()), safe='')}"


def sign_params(params: Params, signer: Signer) -> dict[str, str]:
    """The parameters of a WebSocket API request: signed in alphabetical order
    (``web-socket-api.md``, "SIGNED request example")."""
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return {**params, "signature": signer.sign(payload.encode())}
