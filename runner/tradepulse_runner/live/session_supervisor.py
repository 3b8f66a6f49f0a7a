"""The life of one venue's session: connect, reconcile, poll; reconnect after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from tradepulse_runner.domain import Positions
from tradepulse_runner.errors import OrderError, VenueThrottled
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.reconciliation import Reconciliation
from tradepulse_runner.live.session import BodyMismatch, VenueSession
from tradepulse_runner.live.signals import Signal

log = logging.getLogger(__name__)
FIRST_BACKOFF = 0.5
#: Seconds between two polls of a venue at least, however much happens: it counts our requests.
MIN_POLL_SPACING = 0.1
#: Longest pause between two attempts to reconnect while the kill switch has orders to cancel.
URGENT_BACKOFF = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. ``poll``: between two polls when nothing asks for one earlier; ``streamed``: the
    same while the venue's streams bring what happens; ``max_backoff``: longest pause between two
    attempts to reconnect."""

    poll: float
    streamed: float
    max_backoff: float


class VenueSignals:
    """Events of venues. ``reconnect``: venue, attempt (0: reconnected), pause in seconds, error;
    ``positions``: venue and its positions after a poll."""

    def __init__(self) -> None:
        self.reconnect: Signal[[str, int, float, Exception | None]] = Signal()
        self.positions: Signal[[str, Positions]] = Signal()


class SessionSupervisor:
    """Keeps ``session`` connected and reconciled. ``clock`` gives unix seconds."""

    def __init__(
        self,
        session: VenueSession,
        reconciliation: Reconciliation,
        latch: KillLatch,
        loss: DailyLoss,
        metrics: RunnerMetrics,
        signals: VenueSignals,
        pace: Pace,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._session, self._reconciliation = session, reconciliation
        self._latch, self._loss = latch, loss
        self._metrics, self._signals = metrics, signals
        self._pace, self._clock = pace, clock
        self._random = random.Random()
        self._attempt = 0

    async def run(self) -> None:
        """Worker: never ends by itself; retries every :class:`OrderError`."""
        while True:
            try:
                await self._run_session()
            except BodyMismatch as error:
                await self._handle_mismatch(error)
            except OrderError as error:
                await self._disconnected(error)

    async def _run_session(self) -> None:
        session = self._session
        await session.connect()
        await self._reconciliation.reconcile()
        session.mark_reconciled()
        if self._attempt:
            self._signals.reconnect.emit(session.name, 0, 0.0, None)
        self._attempt = 0
        # Until the session is marked unreconciled: then the next round reconciles.
        while session.reconciled:
            session.wake.clear()  # before the requests: an event during them asks for another poll
            positions = await self._reconciliation.poll()
            self._metrics.position_timestamp.labels(session.name).set(self._clock())
            self._signals.positions.emit(session.name, positions)
            if why := self._loss.broken(session.name):
                self._latch.engage(why)
            await self._pause()
        session.require_stream()

    async def _pause(self) -> None:
        # Known only once it is connected. Where a stream brings fills, an early poll is less
        # urgent than the requests that orders need.
        streaming = self._session.connector.streaming
        interval = self._pace.streamed if streaming else self._pace.poll
        spacing = min(self._pace.poll / 2 if streaming else MIN_POLL_SPACING, interval)
        await _at_most(spacing, self._session.lost)
        await _at_most(interval - spacing, self._session.wake)

    async def _handle_mismatch(self, error: BodyMismatch) -> None:
        """Our own book can't be trusted, so cancel by the venue's list. Only a person can find out
        what happened: retrying faster doesn't help."""
        self._latch.engage(str(error))
        with contextlib.suppress(OrderError):
            await self._session.cancel_without_state()
        await asyncio.sleep(self._pace.max_backoff)

    async def _disconnected(self, error: OrderError) -> None:
        session = self._session
        session.mark_unreconciled()
        self._attempt += 1
        delay = self._backoff(error)
        details = {"venue": session.name, "attempt": self._attempt, "why": str(error)}
        log.warning("live_loop.reconnect", extra=details)
        self._signals.reconnect.emit(session.name, self._attempt, delay, error)
        if not isinstance(
            error, VenueThrottled
        ):  # the connection is sound, we sent too many requests
            await session.connector.disconnect()
        await self._pause_before_reconnect(delay, error)

    async def _pause_before_reconnect(self, delay: float, error: OrderError) -> None:
        """Pause before reconnecting. Engaging the kill switch ends the pause: there may be orders
        to cancel."""
        if self._session.urgent.is_set() or isinstance(error, VenueThrottled):
            await asyncio.sleep(delay)
            return
        await _at_most(delay, self._session.urgent)

    def _backoff(self, error: OrderError) -> float:
        """Seconds until the next attempt: exponential, capped, jittered, and at least what the
        venue asks for."""
        most = URGENT_BACKOFF if self._session.urgent.is_set() else self._pace.max_backoff
        top = min(most, self._pace.max_backoff, FIRST_BACKOFF * 2 ** min(self._attempt - 1, 16))
        delay = self._random.uniform(top / 2, top)
        return max(delay, error.retry_after) if isinstance(error, VenueThrottled) else delay


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for ``event``, at most ``seconds``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
