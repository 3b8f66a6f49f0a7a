"""Authenticates, authorizes and rate-limits a request before anything else of it is read.

Valid credentials are never blocked by failed attempts from the same address: an attacker behind
the same NAT could otherwise lock out the person on call. Each kind of operation has its own limit:
exhausted resets don't block engaging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import Request

from tradepulse_runner.admin.auditing import Auditor
from tradepulse_runner.admin.certificates import Certificates
from tradepulse_runner.admin.identity import Identity, Unauthenticated
from tradepulse_runner.admin.limits import ATTEMPTS, READS, RateLimiter
from tradepulse_runner.admin.problems import RequestRefused
from tradepulse_runner.admin.tokens import Tokens
from tradepulse_runner.config.admin import Scope

REALM = 'Bearer realm="tradepulse"'
_PROVE = "send a bearer token of the issuer, or show a client certificate that is listed"


class Operation(StrEnum):
    """Kinds of operations, each with a rate limit of its own."""

    READ = "look"
    ENGAGE = "engage"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authorized caller."""

    identity: Identity
    address: str


class Access:
    """``tokens`` and ``certificates``: the configured methods. ``timer``: monotonic seconds."""

    def __init__(
        self,
        tokens: Tokens | None,
        certificates: Certificates | None,
        auditor: Auditor,
        timer: Callable[[], float],
    ) -> None:
        self._tokens, self._certificates, self._auditor = tokens, certificates, auditor
        self._failures = RateLimiter(timer, limit=ATTEMPTS)
        self._limits = {
            operation: RateLimiter(timer, limit=READS if operation is Operation.READ else ATTEMPTS)
            for operation in Operation
        }

    async def authorize(self, request: Request, scope: Scope, operation: Operation) -> Caller:
        """Raises :class:`RequestRefused`: 401, 403 or 429."""
        address = request.client.host if request.client else "unknown"
        asked = {"request": f"{request.method} {request.url.path}"}
        try:
            identity = self._identify(request)
        except Unauthenticated as error:
            await self._denied("", address, address, 401, str(error), _PROVE, asked)
        if scope not in identity.scopes:
            detail = f"{identity.name} lacks the scope {scope}"
            remedy = f"ask for {scope} at the issuer, or for the certificate in mtls.clients"
            await self._denied(identity.name, address, identity.key, 403, detail, remedy, asked)
        if wait := self._limits[operation].retry_after(identity.key):
            await self._auditor.refused("admin_rate_limited", identity.name, address, **asked)
            raise _rate_limited(wait, f"{identity.name} asked too often")
        return Caller(identity, address)

    def _identify(self, request: Request) -> Identity:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("the Authorization header holds no bearer token")
            if self._tokens is None:
                raise Unauthenticated("this runner takes no tokens")
            return self._tokens.identify(token.strip())
        subject = getattr(request.state, "client_subject", "")
        if subject and self._certificates is not None:
            return self._certificates.identify(subject)
        raise Unauthenticated("no credentials were given")

    async def _denied(
        self,
        name: str,
        address: str,
        counted_by: str,
        status: int,
        detail: str,
        remedy: str,
        asked: dict[str, Any],
    ) -> None:
        """Record and refuse the request. Always raises :class:`RequestRefused`."""
        if wait := self._failures.retry_after(counted_by):
            await self._auditor.refused("admin_rate_limited", name, address, **asked)
            raise _rate_limited(wait, "too many attempts failed")
        await self._auditor.refused("admin_denied", name, address, why=detail, **asked)
        known = ', error="insufficient_scope"' if status == 403 else ""
        raise RequestRefused(status, detail, remedy, {"WWW-Authenticate": REALM + known})


def _rate_limited(wait: int, detail: str) -> RequestRefused:
    remedy = f"wait {wait} s, then try again; the runner's own command line has no such limit"
    return RequestRefused(429, detail, remedy, {"Retry-After": str(wait)})
