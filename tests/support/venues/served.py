"""What the servers have in common: an exchange and its crowd, on the loopback, as a context."""

from __future__ import annotations

import contextlib
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from decimal import Decimal
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.support.venues.control import add_control
from tests.support.venues.crowd_ticker import CrowdTicker
from tests.support.venues.exchange import Crowd, Exchange, FeeFrom, Market
from tests.support.venues.faults import Faults
from tests.support.venues.requestlog import Request

HOST = "127.0.0.1"
_PATIENCE = 1.0  # seconds that requests under way may take when the venue closes


class ServedVenue(ABC):
    """``async with`` serves until the block ends.

    ``port`` 0 takes a free one. ``interval``: seconds between the crowd's steps; 0: it quotes once
    and stands still. ``clock_skew`` (seconds) may be set any time: how far the venue's clock is
    ahead of this machine's. ``requests``: all that reached the venue.
    """

    def __init__(
        self,
        markets: Iterable[Market],
        *,
        port: int,
        seed: int,
        interval: float,
        fee: Decimal = Decimal("0.001"),
        fee_from: FeeFrom = FeeFrom.RECEIVED,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.clock_skew = 0.0
        self.faults = Faults()
        self.requests: list[Request] = []
        self.exchange = Exchange(markets, clock=self.clock, fee=fee, fee_from=fee_from)
        self.crowd = Crowd(self.exchange, seed)
        self._port = port
        self._interval = interval
        self._tls = tls
        self._stack = contextlib.AsyncExitStack()

    def clock(self) -> float:
        """The venue's time, unix seconds."""
        return time.time() + self.clock_skew

    @property
    def rest_url(self) -> str:
        return self._url("http")

    @abstractmethod
    def _add_to(self, app: web.Application) -> None:
        """Everything that speaks for this venue."""

    @abstractmethod
    def _let_go(self) -> None:
        """The venue closes: streams end, and so does what is kept waiting."""

    def _url(self, scheme: str, path: str = "") -> str:
        return f"{scheme}{'s' if self._tls else ''}://{HOST}:{self._port}{path}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        add_control(app, self)
        self._add_to(app)
        runner = web.AppRunner(app, shutdown_timeout=_PATIENCE, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, self._port, ssl_context=self._tls).start()
        self._port = runner.addresses[0][1]
        await self._stack.enter_async_context(CrowdTicker(self.crowd, self._interval))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._let_go()
        await self._stack.aclose()
