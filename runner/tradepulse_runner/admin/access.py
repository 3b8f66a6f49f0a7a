"""Who may do what, how often: asked before anything of a request is read or done.

Good credentials always pass the count of bad ones: otherwise whoever shares an address with a
person on call could keep them from the kill switch. And each thing that is done has its own
allowance: resets that were used up don't keep anybody from engaging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import Request

from tradepulse_runner.admin.auditing import Auditor
from tradepulse_runner.admin.certificates import Certificates
from tradepulse_runner.admin.identity import Identity, Unknown
from tradepulse_runner.admin.limits import ATTEMPTS, LOOKS, Attempts
from tradepulse_runner.admin.problems import Refused
from tradepulse_runner.admin.tokens import Tokens
from tradepulse_runner.config.admin import Scope

REALM = 'Bearer realm="tradepulse"'
_PROVE = "send a bearer token of the issuer, or show a client certificate that is listed"


class Doing(StrEnum):
    """What is counted apart."""

    LOOK = "look"
    ENGAGE = "engage"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may do what they ask for."""

    who: Identity
    address: str


class Access:
    """``tokens`` and ``certificates``: those that are configured. ``timer``: monotonic seconds."""

    def __init__(
        self,
        tokens: Tokens | None,
        certificates: Certificates | None,
        auditor: Auditor,
        timer: Callable[[], float],
    ) -> None:
        self._tokens, self._certificates, self._auditor = tokens, certificates, auditor
        self._failures = Attempts(timer, limit=ATTEMPTS)
        self._doing = {
            doing: Attempts(timer, limit=LOOKS if doing is Doing.LOOK else ATTEMPTS)
            for doing in Doing
        }

    async def enter(self, request: Request, scope: Scope, doing: Doing) -> Caller:
        """Raises :class:`Refused`: 401, 403 or 429."""
        address = request.client.host if request.client else "unknown"
        asked = {"request": f"{request.method} {request.url.path}"}
        try:
            who = self._identify(request)
        except Unknown as error:
            await self._denied("", address, address, 401, str(error), _PROVE, asked)
        if scope not in who.scopes:
            detail = f"{who.name} lacks the scope {scope}"
            remedy = f"ask for {scope} at the issuer, or for the certificate in mtls.clients"
            await self._denied(who.name, address, who.key, 403, detail, remedy, asked)
        if wait := self._doing[doing].refusal(who.key):
            await self._auditor.refused("admin_rate_limited", who.name, address, **asked)
            raise _slower(wait, f"{who.name} asked too often")
        return Caller(who, address)

    def _identify(self, request: Request) -> Identity:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unknown("the Authorization header holds no bearer token")
            if self._tokens is None:
                raise Unknown("this runner takes no tokens")
            return self._tokens.identify(token.strip())
        subject = getattr(request.state, "client_subject", "")
        if subject and self._certificates is not None:
            return self._certificates.identify(subject)
        raise Unknown("no credentials were given")

    async def _denied(
        self,
        who: str,
        address: str,
        counted_by: str,
        status: int,
        detail: str,
        remedy: str,
        asked: dict[str, Any],
    ) -> None:
        """Always raises."""
        if wait := self._failures.refusal(counted_by):
            await self._auditor.refused("admin_rate_limited", who, address, **asked)
            raise _slower(wait, "too many attempts failed")
        await self._auditor.refused("admin_denied", who, address, why=detail, **asked)
        known = ', error="insufficient_scope"' if status == 403 else ""
        raise Refused(status, detail, remedy, {"WWW-Authenticate": REALM + known})


def _slower(wait: int, detail: str) -> Refused:
    remedy = f"wait {wait} s, then try again; the runner's own command line has no such limit"
    return Refused(429, detail, remedy, {"Retry-After": str(wait)})
