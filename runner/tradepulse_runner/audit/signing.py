"""Signatures of audit records: HMAC-SHA256 over canonical JSON, with the id of the key.

A signature proves that a holder of the secret wrote exactly this record; the hash chain proves that
none is missing before it. The key id is derived from the secret, so a keyring is a list of the
current and previous secrets, one per line, and records signed before a rotation still verify.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.secret import WatchedSecret, checked
from tradepulse_runner.files.snapshot import canonical

ALGORITHM = "HMAC-SHA256"
#: What a key's id is the HMAC of, and how many hexadecimal digits of it are kept.
_ID_OF, _ID_DIGITS = b"tradepulse audit key id", 16
Signature = dict[str, str]


def key_id(secret: str) -> str:
    """A public id of ``secret``, 16 hexadecimal digits."""
    return hmac.new(secret.encode(), _ID_OF, hashlib.sha256).hexdigest()[:_ID_DIGITS]


def sign(secret: str, content: Mapping[str, Any]) -> Signature:
    """The signature of ``content``, a JSON object."""
    code = hmac.new(secret.encode(), canonical(dict(content)), hashlib.sha256).hexdigest()
    return {"algorithm": ALGORITHM, "key_id": key_id(secret), "value": code}


class Signer:
    """Signs with the current secret."""

    def __init__(self, secret: WatchedSecret) -> None:
        self.secret = secret

    @property
    def key_id(self) -> str:
        return key_id(self.secret.value)

    def __call__(self, content: Mapping[str, Any]) -> Signature:
        return sign(self.secret.value, content)


class Keyring:
    """Secrets by id."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = {key_id(secret): secret for secret in secrets}

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """A file with one secret a line. Raises :class:`ConfigError`, whose text contains no
        secret."""
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path}: cannot be read ({type(error).__name__}); remedy: give a file with one"
                " audit secret a line"
            ) from None
        secrets = [
            checked(line, f"{path}: line {number}")
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]
        if not secrets:
            raise ConfigError(f"{path}: holds no secret; remedy: one audit secret a line")
        return cls(secrets)

    def problem(self, content: Mapping[str, Any], signature: object) -> str:
        """Why ``signature`` doesn't prove ``content``; "" when it does."""
        if not isinstance(signature, Mapping) or signature.get("algorithm") != ALGORITHM:
            return "not signed"
        named = str(signature.get("key_id"))
        secret = self._secrets.get(named)
        if secret is None:
            return f"signed with key {named}, which the keyring lacks"
        good = sign(secret, content)["value"]
        same = hmac.compare_digest(
            good, str(signature.get("value")).encode("utf-8", "replace").decode()
        )
        return "" if same else f"the signature of key {named} does not fit: the record was changed"
