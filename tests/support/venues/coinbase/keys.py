"""Key pairs as the Coinbase Developer Platform gives them out, for tests."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

KEY_NAME = "organizations/00000000-0000-4000-8000-000000000001/apiKeys/test"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``secret`` is what its owner keeps: PEM for ES256, base64 of seed and public key for EdDSA;
    ``public_key_pem`` is what the venue keeps."""

    name: str
    secret: str
    public_key_pem: str

    def __repr__(self) -> str:
        return f"KeyPair({self.name!r})"


def make_es256(name: str = KEY_NAME) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return KeyPair(name, secret.decode(), _public_pem(key.public_key()))


def make_ed25519(name: str = KEY_NAME) -> KeyPair:
    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return KeyPair(name, base64.b64encode(raw).decode(), _public_pem(key.public_key()))


def _public_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
