"""Signed HTTP: one session, one place where requests leave, one where their errors are classified.

A request is sent again only when the venue certainly refused it, for old credentials when newer
ones are there. aiohttp itself repeats a request on a connection that turned out to be closed, but
never a POST; redirects are not followed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tradepulse_runner.credentials.store import Credential, CredentialStore
from tradepulse_runner.errors import (
    ConfigError,
    CredentialsRefused,
    OrderRejected,
    OutcomeUnknown,
    VenueDisconnected,
    VenueThrottled,
)
from tradepulse_runner.venues.base import Permit, always
from tradepulse_runner.venues.coinbase.clock import VenueClock
from tradepulse_runner.venues.coinbase.limits import Limits
from tradepulse_runner.venues.coinbase.refusals import Unauthorized, refusal
from tradepulse_runner.venues.coinbase.tokens import Signer
from tradepulse_runner.venues.coinbase.wire import items, shown
from tradepulse_runner.venues.http import Connection, exchange
from tradepulse_runner.venues.signers import PerGeneration

Params = Sequence[tuple[str, str]]  # Coinbase repeats a name for each of several values
PREFIX = "/api/v3/brokerage"
#: Seconds; below the session's own limit, so that this one decides the error.
TOTAL_TIMEOUT = 8.0
#: An order that was refused for old credentials is not worth sending again later than this.
RESEND_WITHIN = 2.0
#: Pages of one list at most: a cursor that never ends must not keep us for ever.
MAX_PAGES = 200
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request; ``path`` follows :data:`PREFIX`. ``decides``: it makes an order, so no doubt
    may be smoothed over; ``urgent`` ones (orders, cancels, what settles them) don't wait for
    reads."""

    method: str
    path: str
    params: Params = ()
    body: bytes | None = None
    decides: bool = False
    urgent: bool = False


class Rest:
    """Sends calls to ``url``. All errors are :class:`OrderError` of the kinds that
    :mod:`tradepulse_runner.errors` distinguishes."""

    def __init__(
        self,
        name: str,
        url: str,
        store: CredentialStore,
        *,
        token_lifetime: float,
        permit: Permit = always,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._url, self._store = name, url, store
        self._host = url.partition("://")[2]
        self._lifetime = token_lifetime
        self._signers = PerGeneration(Signer)
        self._signers.of(store.current)
        self._monotonic = monotonic
        self._connection = Connection(name, permit)
        self.clock = VenueClock(monotonic)
        self.limits = Limits(name, monotonic)

    # -- life ------------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session, also for WebSockets. Raises :class:`NeverSent`."""
        return self._connection.session

    def open(self) -> None:
        self._connection.open(total=TOTAL_TIMEOUT)

    async def close(self) -> None:
        await self._connection.close()

    # -- requests --------------------------------------------------------------------------

    async def send(self, call: Call) -> Any:
        """Sign and send ``call``; the parsed answer."""
        await self.limits.admit(urgent=call.urgent)
        began = self._monotonic()
        # A second try dies with the first one: the fence counts from before either.
        expires = self.clock.now() + self._lifetime
        while True:
            used = self._store.current
            try:
                return await self._signed(call, used, expires)
            except Unauthorized as error:
                if not self._store.refused(used):
                    raise CredentialsRefused(str(error)) from error
                if call.decides and self._monotonic() - began > RESEND_WITHIN:
                    raise OrderRejected(f"{error} (too late to send it again)") from error

    async def get(self, path: str, params: Params = (), *, urgent: bool = False) -> Any:
        return await self.send(Call("GET", path, params, urgent=urgent))

    async def listed(
        self, path: str, params: Params, field: str, *, urgent: bool = False
    ) -> list[Any]:
        """All items of a list, page by page to its end."""
        collected: list[Any] = []
        cursor = ""
        for _ in range(MAX_PAGES):
            more_of = [("cursor", cursor)] if cursor else []
            page = await self.get(path, [*params, *more_of], urgent=urgent)
            collected += items(page, field)
            # Some lists say has_next, the others end with an empty cursor.
            more, before = page.get("has_next", True), cursor
            cursor = str(page.get("cursor") or "")
            if not (more and cursor) or cursor == before:
                return collected
        raise OutcomeUnknown(f"{self._name}: {path} has more than {MAX_PAGES} pages")

    def socket_token(self) -> tuple[str, Credential]:
        """A fresh token for a subscription, and whose it is."""
        used, now = self._store.current, self.clock.now()
        return self._signer(used).token(now, now + self._lifetime), used

    def credential_is_newer_than(self, used: Credential) -> bool:
        return self._store.current.generation > used.generation

    def refused(self, used: Credential) -> bool:
        """The venue refused ``used``: whether newer credentials are there."""
        return self._store.refused(used)

    async def measure(self) -> None:
        """Learn the venue's time. Raises :class:`OrderError`."""
        asked = self._monotonic()
        answer = await self._exchange("GET", f"{PREFIX}/time", (), None, {}, decides=False)
        try:
            milliseconds = int(answer["epochMillis"])
        except (KeyError, TypeError, ValueError):
            raise OutcomeUnknown(f"{self._name}: no time in {shown(answer)}") from None
        if not self.clock.adopt(asked, self._monotonic(), milliseconds / 1000):
            raise VenueDisconnected(f"{self._name}: answers too slowly to measure its clock")

    # -- one exchange ----------------------------------------------------------------------

    def _signer(self, used: Credential) -> Signer:
        try:
            return self._signers.of(used)
        except ConfigError as error:  # a new secret that nothing can be signed with
            raise CredentialsRefused(str(error)) from error

    async def _signed(self, call: Call, used: Credential, expires: float) -> Any:
        path = PREFIX + call.path
        uri = f"{call.method} {self._host}{path}"
        token = self._signer(used).token(self.clock.now(), expires, uri)
        headers = {"Authorization": f"Bearer {token}", **(_JSON if call.body else {})}
        return await self._exchange(
            call.method, path, call.params, call.body, headers, decides=call.decides
        )

    async def _exchange(
        self,
        method: str,
        path: str,
        params: Params,
        body: bytes | None,
        headers: dict[str, str],
        *,
        decides: bool,
    ) -> Any:
        query = f"?{urlencode(params)}" if params else ""
        url = URL(f"{self._url}{path}{query}", encoded=True)
        request = self.session.request(
            method, url, data=body, headers=headers, allow_redirects=False
        )
        status, text, answered = await exchange(self._name, request)
        if status != 200:
            why = refusal(self._name, status, text, answered, decides=decides)
            if isinstance(why, VenueThrottled):
                self.limits.silence.keep(why.retry_after)
            raise why
        return self._parse(text)

    def _parse(self, text: str) -> Any:
        try:
            parsed = json.loads(text, parse_float=Decimal)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise OutcomeUnknown(f"{self._name}: answered no JSON object: {text[:120]!r}")
        return parsed
