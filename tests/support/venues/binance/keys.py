"""API keys, and whether a signature belongs to one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.support.venues.binance.errors import ApiError


@dataclass(frozen=True, repr=False)
class ApiKey:
    """HMAC or Ed25519, whichever is set."""

    name: str
    account: str
    secret: str | None = None
    public: Ed25519PublicKey | None = None

    def verify(self, payload: bytes, signature: str) -> bool:
        """``payload``: the exact bytes that were signed. An HMAC signature's case is ignored."""
        if self.public is None:
            expected = hmac.new((self.secret or "").encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected.encode(), signature.lower().encode())
        try:
            self.public.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class KeyRing:
    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def add(
        self, name: str, *, secret: str | None, public_key_pem: str | None, account: str
    ) -> None:
        if (secret is None) == (public_key_pem is None):
            raise ValueError(f"key {name!r}: give an hmac_secret or a public_key_pem")
        public = load_pem_public_key(public_key_pem.encode()) if public_key_pem else None
        if public is not None and not isinstance(public, Ed25519PublicKey):
            raise ValueError(f"key {name!r}: the public key is not Ed25519")
        self._keys[name] = ApiKey(name, account, secret, public)

    def remove(self, name: str) -> None:
        """Revoke it."""
        self._keys.pop(name, None)

    def find(self, name: str | None) -> ApiKey:
        """Raises :class:`ApiError` for a key that isn't there or isn't known."""
        if not name:
            raise ApiError(-2014, "API-key format invalid.", status=401)
        try:
            return self._keys[name]
        except KeyError:
            raise ApiError(
                -2015, "Invalid API-key, IP, or permissions for action.", status=401
            ) from None
