"""Who is asking: the JWTs that Coinbase takes in place of signed requests.

Rules (docs.cdp.coinbase.com, "Coinbase App authentication"; coinbase-advanced-py
``jwt_generator.py``): ES256 or EdDSA by the key's kind; header ``kid`` names the key and carries a
``nonce``; claims ``iss`` "cdp", ``sub`` the key, ``nbf``, ``exp`` at most two minutes later, and,
for REST only, ``uri`` "METHOD host/path" without the query. Two older forms are still in use by
clients and accepted: issuer "coinbase-cloud", and a list ``uris``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

ISSUERS = frozenset({"cdp", "coinbase-cloud"})
LIFETIME = 120.0

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its owner registered it, and the account that it opens."""

    name: str
    public_key: PublicKey
    account: str
    can_trade: bool = True

    @property
    def algorithm(self) -> str:
        return "ES256" if isinstance(self.public_key, ec.EllipticCurvePublicKey) else "EdDSA"


class TokenRefused(Exception):
    """The reason is for the kit's log: the venue itself says "Unauthorized" and nothing more."""


class Keyring:
    """The keys that the venue knows, judged by the venue's ``clock`` (unix seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}

    def add(
        self, name: str, public_key_pem: str | bytes, account: str, *, can_trade: bool = True
    ) -> None:
        """Raises :class:`ValueError` for a key that is neither P-256 nor Ed25519."""
        pem = public_key_pem.encode() if isinstance(public_key_pem, str) else public_key_pem
        key = load_pem_public_key(pem)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name != "secp256r1":
            raise ValueError(f"key {name!r} is on {key.curve.name}: Coinbase takes P-256")
        if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            raise ValueError(f"key {name!r} must be EC P-256 or Ed25519, got {type(key).__name__}")
        self._keys[name] = ApiKey(name, key, account, can_trade)

    def remove(self, name: str) -> None:
        """The owner revoked the key."""
        del self._keys[name]

    def holder(self, token: str, request: str | None = None) -> ApiKey:
        """The key that signed ``token``. ``request`` is "METHOD host/path"; None on a WebSocket,
        where tokens are not bound to one. Raises :class:`TokenRefused`."""
        header, key = self._key_of(token)
        if not header.get("nonce"):
            raise TokenRefused("the header has no nonce")
        claims = _verified(token, key)
        if claims.get("sub") != key.name:
            raise TokenRefused(f"sub is {claims.get('sub')!r}, the key is {key.name!r}")
        if claims.get("iss") not in ISSUERS:
            raise TokenRefused(f"iss is {claims.get('iss')!r}")
        self._check_times(claims)
        if request is not None:
            _check_request(claims, request)
        return key

    def _key_of(self, token: str) -> tuple[Mapping[str, Any], ApiKey]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise TokenRefused(f"not a token: {error}") from error
        key = self._keys.get(str(header.get("kid")))
        if key is None:
            raise TokenRefused(f"no key is named {header.get('kid')!r}")
        return header, key

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, begin, end = self._clock(), claims.get("nbf"), claims.get("exp")
        if not isinstance(begin, int) or not isinstance(end, int):
            raise TokenRefused("nbf and exp must be whole seconds")
        if end - begin > LIFETIME:
            raise TokenRefused(f"valid for {end - begin} s, at most {LIFETIME:.0f} are allowed")
        if now < begin:
            raise TokenRefused(f"not valid for another {begin - now:.1f} s")
        if now >= end:
            raise TokenRefused(f"expired {now - end:.1f} s ago")


def _verified(token: str, key: ApiKey) -> dict[str, Any]:
    # Times are checked by hand: against the venue's clock, which tests set wrong on purpose.
    unchecked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub")}
    try:
        return jwt.decode(token, key.public_key, algorithms=[key.algorithm], options=unchecked)  # type: ignore[arg-type]
    except jwt.PyJWTError as error:
        raise TokenRefused(f"{type(error).__name__}: {error}") from error


def _check_request(claims: Mapping[str, Any], request: str) -> None:
    bound = claims.get("uris") or [claims.get("uri")]
    if request not in bound:
        raise TokenRefused(f"made for {bound!r}, used for {request!r}")
