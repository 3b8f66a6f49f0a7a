"""Signed HTTP: one session, one place where requests leave, one where their errors are classified.

A request is sent again only when the venue certainly refused it: for old credentials when newer
ones are there, and, unless it is an order (whose decision has aged), for a wrong timestamp.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
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
    OrderError,
    OutcomeUnknown,
    VenueDisconnected,
    VenueThrottled,
)
from tradepulse_runner.venues.base import Permit, always
from tradepulse_runner.venues.binance.clock import SAMPLES, ServerClock
from tradepulse_runner.venues.binance.limits import Limits
from tradepulse_runner.venues.binance.refusals import TimestampRefused, refusal
from tradepulse_runner.venues.binance.signing import (
    Params,
    make_signer,
    sign_params,
    signed_query,
)
from tradepulse_runner.venues.http import Connection, exchange
from tradepulse_runner.venues.signers import PerGeneration

#: Below the session's own limit, so that this one decides the error.
TOTAL_TIMEOUT = 8.0
#: How long the answer about a refused order may wait for the clock.
MEASURE_TIMEOUT = 1.0
#: An order that was refused for old credentials is not worth sending again later than this, and
#: the proof by ``outcome_horizon`` counts from before the first try.
RESEND_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``weight`` is what Binance counts for it; ``urgent`` ones (orders, cancels)
    don't wait for reads; ``decides``: it makes an order, so no doubt may be smoothed over."""

    method: str
    path: str
    params: Params
    weight: int
    urgent: bool = False
    decides: bool = False


class Rest:
    """Sends calls to ``url``. All errors are :class:`OrderError` of the kinds that
    :mod:`tradepulse_runner.errors` distinguishes."""

    def __init__(
        self,
        name: str,
        url: str,
        store: CredentialStore,
        *,
        recv_window: int,
        permit: Permit = always,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._url, self._store = name, url, store
        self._recv_window = str(recv_window)
        self._signers = PerGeneration(lambda used: make_signer(used.secret))
        self._signers.of(store.current)
        self._monotonic = monotonic
        self._connection = Connection(name, permit)
        self.clock = ServerClock(monotonic)
        self.limits = Limits(name, monotonic, self.clock.now)

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

    async def public(self, path: str, params: Params, weight: int) -> Any:
        """GET without a key; the parsed answer."""
        await self.limits.admit(weight)
        return await self._exchange("GET", self._to(path, urlencode(params)), {})

    async def signed(self, call: Call) -> Any:
        """Sign and send ``call``; the parsed answer."""
        if call.urgent:
            self.limits.silence.require_over()
        else:
            await self.limits.admit(call.weight)
        try:
            return await self._by_the_newest(call)
        except TimestampRefused:
            if call.decides:
                # Refused for certain, whatever becomes of this.
                with contextlib.suppress(OrderError, TimeoutError):
                    async with asyncio.timeout(MEASURE_TIMEOUT):
                        await self.measure()
                raise
            await self.measure()
        return await self._by_the_newest(call)

    async def _by_the_newest(self, call: Call) -> Any:
        """Send ``call``, again while it was refused for credentials that aren't the newest."""
        began = self._monotonic()
        while True:
            used = self._store.current
            try:
                return await self._send(call, used)
            except CredentialsRefused:
                late = call.decides and self._monotonic() - began > RESEND_WITHIN
                if not self._store.refused(used) or late:
                    raise

    def sign_socket(self, params: dict[str, str]) -> tuple[dict[str, str], Credential]:
        """Parameters of a WebSocket API request, signed, and by whom."""
        used = self._store.current
        full = {**params, "apiKey": used.key, **self._timing()}
        try:
            return sign_params(full, self._signers.of(used)), used
        except ConfigError as error:
            raise CredentialsRefused(str(error)) from error

    def newer_than(self, used: Credential) -> bool:
        """Whether newer credentials are there than ``used``, which was refused."""
        return self._store.refused(used)

    def refused(self, status: int, text: str, headers: Mapping[str, str]) -> OrderError:
        """What an error answer means; after a throttle nothing is sent for a while."""
        why = refusal(status, text, headers, self.clock.now())
        if isinstance(why, VenueThrottled):
            self.limits.silence.keep(why.retry_after)
        return why

    async def measure(self) -> None:
        """Learn the server's time. Raises :class:`OrderError`."""
        samples = []
        for _ in range(SAMPLES):
            asked = self._monotonic()
            answer = await self.public("/api/v3/time", {}, 1)
            try:
                samples.append((asked, self._monotonic(), int(answer["serverTime"])))
            except (KeyError, TypeError, ValueError):
                raise OutcomeUnknown(f"{self._name}: no time in {str(answer)[:120]!r}") from None
        if not self.clock.adopt(samples):
            raise VenueDisconnected(f"{self._name}: answers too slowly to measure its clock")

    # -- one exchange ----------------------------------------------------------------------

    def _timing(self) -> dict[str, str]:
        return {"recvWindow": self._recv_window, "timestamp": str(self.clock.milliseconds())}

    async def _send(self, call: Call, used: Credential) -> Any:
        try:
            query = signed_query({**call.params, **self._timing()}, self._signers.of(used))
        except ConfigError as error:  # a new secret that nothing can be signed with
            raise CredentialsRefused(str(error)) from error
        headers = {"X-MBX-APIKEY": used.key}
        return await self._exchange(call.method, self._to(call.path, query), headers)

    def _to(self, path: str, query: str) -> URL:
        # Already encoded, and signed as it is: nothing may quote it again.
        return URL(f"{self._url}{path}?{query}" if query else f"{self._url}{path}", encoded=True)

    async def _exchange(self, method: str, url: URL, headers: dict[str, str]) -> Any:
        request = self.session.request(method, url, headers=headers, allow_redirects=False)
        status, text, answered = await exchange(self._name, request)
        self.limits.note(answered)
        if status != 200:
            raise self.refused(status, text, answered)
        return self._parse(text)

    def _parse(self, text: str) -> Any:
        try:
            return json.loads(text, parse_float=Decimal)
        except ValueError:
            raise OutcomeUnknown(f"{self._name}: answered no JSON: {text[:120]!r}") from None
