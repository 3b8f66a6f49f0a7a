"""What every venue's HTTP has in common: the session, one exchange, and what its failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import aiohttp

from tradepulse_runner.errors import OrderRejected, OutcomeUnknown, VenueDisconnected
from tradepulse_runner.venues.base import Permit
from tradepulse_runner.venues.permitted import permitted

T = TypeVar("T")
CONNECT_TIMEOUT = 3.0
#: Idle connections are given up before the venue gives them up: an order written to one that is
#: just being closed would be unknown.
KEEP_ALIVE = 30.0


class NeverSent(OrderRejected, VenueDisconnected):
    """No connection came about, so no byte of the request left: certainly not live."""


def open_session(permit: Permit, *, total: float) -> aiohttp.ClientSession:
    """A session for one venue. ``permit`` is asked when a request's first byte is about to go;
    ``total``: seconds that an exchange may take."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=60),
        timeout=aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=permitted(permit),
    )


class Connection:
    """One venue's session, open or not. ``permit``: see :func:`open_session`."""

    def __init__(self, name: str, permit: Permit) -> None:
        self._name, self._permit = name, permit
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session, also for WebSockets. Raises :class:`NeverSent`."""
        if self._session is None or self._session.closed:
            raise NeverSent(f"{self._name}: not connected")
        return self._session

    def open(self, *, total: float) -> None:
        """Unless it is; ``total``: seconds that an exchange may take."""
        if self._session is None or self._session.closed:
            self._session = open_session(self._permit, total=total)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def exchange(
    name: str, request: AbstractAsyncContextManager[aiohttp.ClientResponse]
) -> tuple[int, str, Mapping[str, str]]:
    """Status, text and headers of the answer. Raises :class:`NeverSent` and
    :class:`OutcomeUnknown`; ``name`` is the venue's."""
    try:
        async with request as answer:
            return answer.status, await answer.text(), answer.headers
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NeverSent(f"{name}: no connection: {type(error).__name__}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
        # Without the error's own text: it may contain the request, and with it a signature.
        raise OutcomeUnknown(f"{name}: {type(error).__name__}") from error


async def together(requests: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """All at once. The first failure is raised as it is (a group would hide its kind)."""
    tasks = [asyncio.create_task(request) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
