"""An issuer of tokens, and a caller of the admin surface."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.services.tls import Authority, Pair

ISSUER, AUDIENCE = "https://issuer.test", "tradepulse"
ALL = "killswitch:read killswitch:write state:read"
SECRET = "an-audit-secret-of-the-tests"


class Issuer:
    """Signs tokens; its public keys are in ``jwks``."""

    def __init__(self, folder: Path, kid: str = "one") -> None:
        self.jwks, self.kid = folder / "jwks.json", kid
        self.rotate(kid)

    def rotate(self, kid: str) -> None:
        """Another key, and none of before."""
        self.kid, self._key = kid, ec.generate_private_key(ec.SECP256R1())
        algorithm = jwt.get_algorithm_by_name("ES256")
        public = algorithm.to_jwk(self._key.public_key(), as_dict=True)
        temp = self.jwks.with_suffix(".tmp")
        temp.write_text(json.dumps({"keys": [{**public, "kid": kid, "use": "sig"}]}))
        temp.rename(self.jwks)

    def token(self, name: str = "ada", scope: str = ALL, **claims: Any) -> str:
        now = int(time.time())
        content = {"iss": ISSUER, "aud": AUDIENCE, "sub": name, "scope": scope, "exp": now + 300}
        merged = {k: v for k, v in {**content, **claims}.items() if v is not None}
        return jwt.encode(merged, self._key, "ES256", headers={"kid": self.kid})

    def config(self) -> dict[str, Any]:
        return {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(self.jwks)}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def ask(
    url: str,
    method: str = "GET",
    *,
    token: str = "",
    reason: str | None = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Answer:
    """One request; ``headers`` with ``_`` for ``-``."""
    data = None if reason is None else json.dumps({"reason": reason}).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10, context=tls) as answer:
            return Answer(answer.status, dict(answer.headers), json.load(answer))
    except urllib.error.HTTPError as error:
        return Answer(error.code, dict(error.headers), json.load(error))


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context
