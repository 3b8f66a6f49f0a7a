"""The signed tokens (JWT) that Coinbase takes in place of signed requests.

``coinbase-advanced-py`` (``jwt_generator.py``) is the reference: ES256 for a P-256 key, EdDSA for
an Ed25519 one; the header names the key (``kid``) and carries a ``nonce``; the claims are issuer
``cdp``, subject (the key), ``nbf``, ``exp`` and, for REST, ``uri`` ("METHOD host/path", no query).
"Your JWT expires after 2 minutes" (docs.cdp.coinbase.com, JWT authentication) is the longest
lifetime; Coinbase's own SDK lets a caller ask for less (``expiresIn``), and so do we.

A token is made for each request, never kept: it carries a nonce, and what Coinbase makes of one
that it has seen before is not documented.
"""

from __future__ import annotations

import base64
import binascii
import secrets

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tradepulse_runner.credentials.store import Credential
from tradepulse_runner.errors import ConfigError

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey
#: Seconds that a token is valid before its time, for a venue whose clock is behind.
EARLIER = 5
_REMEDY = (
    "remedy: provide the private key of a CDP secret API key as Coinbase shows it: a PEM (ECDSA) "
    "or base64 of 64 bytes (Ed25519)"
)


class Signer:
    """Makes tokens with one credential. Raises :class:`ConfigError`, never showing the secret."""

    def __init__(self, credential: Credential) -> None:
        self._name = credential.key
        self._key = load_key(credential.secret)
        self._algorithm = "EdDSA" if isinstance(self._key, Ed25519PrivateKey) else "ES256"

    def token(self, now: float, expires: float, uri: str = "") -> str:
        """A fresh token. ``now`` and ``expires`` are unix seconds at the venue; without ``uri``
        it is for a WebSocket."""
        claims: dict[str, str | int] = {
            "sub": self._name,
            "iss": "cdp",
            "nbf": int(now) - EARLIER,
            "exp": int(expires),
        }
        if uri:
            claims["uri"] = uri
        headers = {"kid": self._name, "nonce": secrets.token_hex(16)}
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers=headers)


def load_key(secret: str) -> PrivateKey:
    """The private key in ``secret``. Raises :class:`ConfigError`, never showing it."""
    if secret.lstrip().startswith("-----BEGIN"):
        return _from_pem(secret)
    try:
        raw = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) not in (32, 64):  # the seed, followed or not by the public key
        raise ConfigError(f"COINBASE_API_SECRET: neither a PEM nor base64 of a key; {_REMEDY}")
    return Ed25519PrivateKey.from_private_bytes(raw[:32])


def _from_pem(pem: str) -> PrivateKey:
    try:
        # An environment variable often has its line ends written out.
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        text = "looks like a PEM but is not an unencrypted private key"
        raise ConfigError(f"COINBASE_API_SECRET: {text}; {_REMEDY}") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ConfigError(f"COINBASE_API_SECRET: neither a P-256 nor an Ed25519 key; {_REMEDY}")
