"""One venue, kept in touch with: connect, reconcile, poll; and again when it was away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from tradepulse_runner.domain import Positions
from tradepulse_runner.errors import OrderError, VenueThrottled
from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.session import BodyMismatch, VenueSession
from tradepulse_runner.live.signals import Signal

log = logging.getLogger(__name__)
FIRST_BACKOFF = 0.5
#: Seconds between two polls of a venue at least, however much happens: it counts our requests.
MIN_POLL_SPACING = 0.1
#: Longest pause between two attempts to reconnect while the kill switch has orders to cancel.
URGENT_BACKOFF = 1.0


class Keeper:
    """Keeps ``session`` true. ``kill`` engages the kill switch; ``clock`` gives unix seconds.

    ``poll_interval``: seconds between two polls when nothing asks for one earlier, and
    ``reconcile_interval`` those while the venue's streams bring what happens; ``max_backoff``:
    longest pause between two attempts to reconnect.
    """

    def __init__(
        self,
        session: VenueSession,
        loss: DailyLoss,
        metrics: RunnerMetrics,
        *,
        poll_interval: float,
        reconcile_interval: float,
        max_backoff: float,
        on_reconnect: Signal[[str, int, float, Exception | None]],
        on_positions: Signal[[str, Positions]],
        kill: Callable[[str], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._session, self._loss, self._metrics = session, loss, metrics
        self._polled, self._streamed = poll_interval, reconcile_interval
        self._max_backoff = max_backoff
        self._on_reconnect, self._on_positions = on_reconnect, on_positions
        self._kill, self._clock = kill, clock
        self._chance = random.Random()
        self._attempt = 0

    async def run(self) -> None:
        """Worker: never ends by itself, whatever the venue does."""
        while True:
            try:
                await self._in_touch()
            except BodyMismatch as error:
                await self._mismatched(error)
            except OrderError as error:
                await self._away(error)

    async def _in_touch(self) -> None:
        session = self._session
        await session.connect()
        await session.reconcile()
        session.reconciled = session.known = True
        if self._attempt:
            self._on_reconnect.emit(session.name, 0, 0.0, None)
        self._attempt = 0
        # Until something makes us doubt: then the next round reconciles.
        while session.reconciled:
            session.wake.clear()  # before the questions: what happens meanwhile wakes us again
            positions = await session.poll()
            self._metrics.position_timestamp.labels(session.name).set(self._clock())
            self._on_positions.emit(session.name, positions)
            if why := self._loss.broken(session.name):
                await self._kill(why)
            await self._pause()
        session.require_stream()

    async def _pause(self) -> None:
        # Known only once it is connected. Where a stream tells of fills, a poll that somebody asks
        # for is less urgent than the requests that orders need.
        streaming = self._session.connector.streaming
        interval = self._streamed if streaming else self._polled
        spacing = min(self._polled / 2 if streaming else MIN_POLL_SPACING, interval)
        await _at_most(spacing, self._session.lost)
        await _at_most(interval - spacing, self._session.wake)

    async def _mismatched(self, error: BodyMismatch) -> None:
        """Our own book can't be trusted, so cancel by the venue's. Only a person can tell what
        happened: asking faster helps nobody."""
        await self._kill(str(error))
        with contextlib.suppress(OrderError):
            await self._session.cancel_without_state()
        await asyncio.sleep(self._max_backoff)

    async def _away(self, error: OrderError) -> None:
        session = self._session
        session.reconciled = False
        self._attempt += 1
        delay = self._backoff(error)
        details = {"venue": session.name, "attempt": self._attempt, "why": str(error)}
        log.warning("live_loop.reconnect", extra=details)
        self._on_reconnect.emit(session.name, self._attempt, delay, error)
        if not isinstance(error, VenueThrottled):  # the connection is well, we asked too often
            await session.connector.disconnect()
        await self._rest(delay, error)

    async def _rest(self, delay: float, error: OrderError) -> None:
        """A kill switch that is engaged meanwhile ends the pause: there may be orders to cancel."""
        if self._session.urgent.is_set() or isinstance(error, VenueThrottled):
            await asyncio.sleep(delay)
            return
        await _at_most(delay, self._session.urgent)

    def _backoff(self, error: OrderError) -> float:
        """Capped and jittered, and never sooner than the venue allows."""
        most = URGENT_BACKOFF if self._session.urgent.is_set() else self._max_backoff
        top = min(most, self._max_backoff, FIRST_BACKOFF * 2 ** min(self._attempt - 1, 16))
        delay = self._chance.uniform(top / 2, top)
        return max(delay, error.retry_after) if isinstance(error, VenueThrottled) else delay


async def _at_most(seconds: float, sign: asyncio.Event) -> None:
    """Wait for ``sign``, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await sign.wait()
