"""Bearer tokens: JWTs, verified against a mounted key file; nothing is fetched.

Checked are signature, ``iss``, ``aud``, ``exp`` and ``nbf``; ``exp`` and the claim with the name
must be there. Only asymmetric algorithms count, each bound to its key: a token can't choose to be
verified with a public key as if that were a secret.
Sources: RFC 7519, RFC 8725, RFC 9068 (``scope``); ``scp`` as some issuers call it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tradepulse_runner.admin.identity import Identity, Unauthenticated, usable_name
from tradepulse_runner.config.admin import OauthConfig, Scope
from tradepulse_runner.errors import ConfigError

log = logging.getLogger(__name__)
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
#: Seconds that the clocks of issuer and runner may differ.
LEEWAY = 30
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PROVIDE = "mount a JWK set, or a PEM public key (RSA of 2048 bits or more, P-256/384/521, Ed25519)"
_SCOPES = {scope.value: scope for scope in Scope}


class Keys:
    """The issuer's public keys, reloaded when the file changes."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`ConfigError`."""
        self._path = path
        self._stamp = self._file_stamps()
        self._keys = load_keys(path)
        self.problem = ""

    def matching(self, kid: str | None) -> list[jwt.PyJWK]:
        """Keys that match a token's ``kid``; all keys when it has none."""
        self._refresh()
        return [key for key in self._keys if kid is None or key.key_id in (None, kid)]

    def _refresh(self) -> None:
        stamp = self._file_stamps()
        if stamp == self._stamp:
            return
        try:
            self._keys = load_keys(self._path)
        except ConfigError as error:
            if str(error) != self.problem:
                log.error("admin.keys_unusable", extra={"why": str(error)})
            self.problem = str(error)
            return  # the keys before stay; the file is looked at again with the next request
        self._stamp, self.problem = stamp, ""
        log.warning("admin.keys_replaced", extra={"keys": len(self._keys)})

    def _file_stamps(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def load_keys(path: Path) -> list[jwt.PyJWK]:
    """The public keys in ``path``. Raises :class:`ConfigError` naming file and remedy."""
    try:
        data = path.read_bytes()
        keys = [_from_pem(data)] if b"-----BEGIN" in data else _from_set(data)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read ({why}); remedy: {_PROVIDE}") from error
    except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigError(f"{path}: no public key in it ({error}); remedy: {_PROVIDE}") from error
    good = [key for key in keys if key.algorithm_name in ALGORITHMS and not _weak(key)]
    if not good:
        raise ConfigError(f"{path}: no key in it that may sign tokens; remedy: {_PROVIDE}")
    return good


def _from_set(data: bytes) -> list[jwt.PyJWK]:
    key_set = jwt.PyJWKSet.from_json(data.decode())
    return [key for key in key_set.keys if key.public_key_use in (None, "sig")]


def _from_pem(data: bytes) -> jwt.PyJWK:
    key = load_pem_public_key(data)
    if isinstance(key, RSAPublicKey):
        return _as_jwk("RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _as_jwk(_CURVES[key.curve.name], key)
    if isinstance(key, Ed25519PublicKey):
        return _as_jwk("EdDSA", key)
    raise ValueError(f"a {type(key).__name__}")


def _as_jwk(algorithm: str, key: Any) -> jwt.PyJWK:
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return jwt.PyJWK.from_dict(jwk, algorithm)


def _weak(key: jwt.PyJWK) -> bool:
    return isinstance(key.key, RSAPublicKey) and key.key.key_size < 2048


class Tokens:
    """Authenticates bearer tokens."""

    def __init__(self, config: OauthConfig) -> None:
        """Raises :class:`ConfigError` for keys that can't be used."""
        self._config = config
        self.keys = Keys(config.jwks)

    def identify(self, token: str) -> Identity:
        """Raises :class:`Unauthenticated`."""
        claims = self._claims(token)
        name = usable_name(claims.get(self._config.name_claim))
        return Identity(name, scopes_of(claims), "oauth")

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            for key in self.keys.matching(kid):
                try:
                    return self._decoded(token, key)
                except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
                    continue  # perhaps another key's
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired: get a new one") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise Unauthenticated(
                f"the token is not of {self._config.issuer} for {self._config.audience}"
            ) from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the token can't be used: {type(error).__name__}") from None
        raise Unauthenticated("the token is signed by none of the issuer's keys")

    def _decoded(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=self._config.issuer,
            audience=self._config.audience,
            leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud"]},
        )


def scopes_of(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """The scopes that a token grants; unknown ones are another service's."""
    granted = claims.get("scope", claims.get("scp", ""))
    words = granted.split() if isinstance(granted, str) else granted
    if not isinstance(words, list):
        return frozenset()
    return frozenset(_SCOPES[word] for word in words if isinstance(word, str) and word in _SCOPES)
