"""The only path of an order to a venue: queue, gate, intent on disk, gate again, request.

``place_order`` is called in exactly one place, :meth:`Submitter._send`; a test checks that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from tradepulse_runner.domain import Instrument, Order, OrderStatus
from tradepulse_runner.errors import NotTrading, OrderError, OrderRejected, RiskRejected
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.session import BodyMismatch, VenueSession
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.oms.epoch import OrderIds
from tradepulse_runner.oms.state import Exposure
from tradepulse_runner.risk.manager import RiskManager, RiskView
from tradepulse_runner.risk.reducing import reduces

log = logging.getLogger(__name__)
MAX_IN_FLIGHT = 8


class Submitter:
    """Sends orders while ``state`` refuses none, and only those that reduce a position while it is
    reducing. ``latch``: engaged when too many orders in a row break a limit."""

    def __init__(
        self,
        sessions: Mapping[str, VenueSession],
        state: TradingState,
        latch: KillLatch,
        risk: RiskManager,
        ids: OrderIds,
        metrics: RunnerMetrics,
        *,
        interval: float,
        step: Step = no_fault,
    ) -> None:
        self._sessions = sessions
        self._risk = risk
        self._ids = ids
        self._metrics = metrics
        self._state, self._latch = state, latch
        self._interval = interval
        self._step = step
        self._queue: deque[tuple[VenueSession, str]] = deque()
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self.in_flight = 0
        #: Venue, whether it is a success, and seconds, of every answer to an order request.
        self.on_outcome: Signal[[str, bool, float]] = Signal()
        self.counts = {"submitted": 0, "ok": 0, "error": 0}

    @property
    def waiting(self) -> int:
        """Orders queued or in flight."""
        return len(self._queue) + self.in_flight

    def submit(self, venue: str, order: Order) -> str:
        """Queue ``order``; returns its client id. Raises :class:`RiskRejected`."""
        session = self._sessions[venue]
        try:
            self._require_gate(session)
            self._risk.validate(venue, order, self._view(session, order))
        except RiskRejected as exc:
            self._refuse(exc)
            raise
        client_id = self._ids.next()
        session.oms.queue(client_id, order)
        self._step("submit.queued")
        self._queue.append((session, client_id))
        self._wake.set()
        return client_id

    async def run(self) -> None:
        """Worker: sends the queue, up to ``MAX_IN_FLIGHT`` requests at a time."""
        async with asyncio.TaskGroup() as group:
            while True:
                while self._queue:
                    await self._slots.acquire()
                    if not self._queue:  # expired by a halt while we waited
                        self._slots.release()
                        break
                    session, client_id = self._queue.popleft()
                    self.in_flight += 1
                    group.create_task(self._dispatch(session, client_id))
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._interval):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def expire_queue(self, reason: str) -> None:
        """Expire every order that was not sent: it was decided under other conditions."""
        while self._queue:
            session, client_id = self._queue.popleft()
            session.oms.expired(client_id, reason)

    async def _dispatch(self, session: VenueSession, client_id: str) -> None:
        try:
            if self._approve(session, client_id):
                await self._send(session, client_id)
        finally:
            self.in_flight -= 1
            self._slots.release()

    def _approve(self, session: VenueSession, client_id: str) -> bool:
        """Check again at the moment of sending: the market and the state moved on."""
        order = session.oms.state.orders[client_id].order
        try:
            self._require_gate(session)
            require_not_banned(session)
            self._risk.validate(session.name, order, self._view(session, order, client_id))
            self._risk.admit(session.name, order)
        except RiskRejected as exc:
            self._refuse(exc)
            session.oms.expired(client_id, f"not sent: {exc}")
            return False
        self._metrics.risk.labels("passed").inc()
        return True

    async def _send(self, session: VenueSession, client_id: str) -> None:
        order = session.oms.state.orders[client_id].order
        await session.oms.intend(client_id)
        # The sync took time; a halt may have come. No await between this check and the request.
        self._step("gate.again")
        if why := self._stopped_meanwhile(session, client_id):
            session.oms.expired(client_id, f"not sent: {why}")
            return
        self.counts["submitted"] += 1
        self._metrics.submitted.labels(session.name).inc()
        began = time.perf_counter()
        outcome = "error"
        try:
            session.send_times.note(client_id)
            self._step("request.send")
            answer = await session.ask(session.connector.place_order(order, client_id))
            self._step("request.answered")
            session.check_body(session.oms.state.orders[client_id], answer)
            session.oms.acknowledged(answer)
            outcome = "ok"
            if answer.filled and not session.connector.streaming:
                session.wake.set()
        except OrderRejected as exc:
            session.oms.rejected(client_id, str(exc))
            log.info("live_loop.order_rejected", extra={"order": client_id, "why": str(exc)})
        except (OrderError, BodyMismatch) as exc:
            # A venue may return an old order for a repeated id: that proves nothing about this
            # one. The next poll compares again, and latches the kill switch.
            session.send_times.note(client_id)  # the connector may have sent it more than once
            if session.oms.state.orders[client_id].status is OrderStatus.PENDING:
                session.oms.unknown(
                    client_id, str(exc)
                )  # unless a stream brought an event meanwhile
            session.wake.set()
            log.warning("live_loop.order_unknown", extra={"order": client_id, "why": str(exc)})
        finally:
            # The order of a long request may be the oldest closed one by now, and dropped.
            left = session.oms.state.orders.get(client_id)
            if left is not None and left.status is OrderStatus.PENDING:
                outcome = "error"  # cancelled mid-request: restart makes it UNKNOWN
            self.counts[outcome] += 1
            self._metrics.outcomes.labels(session.name, outcome).inc()
            seconds = time.perf_counter() - began
            self._metrics.latency.labels(session.name).observe(seconds)
            self.on_outcome.emit(session.name, outcome == "ok", seconds)

    async def cancel(self, venue: str, client_id: str) -> None:
        """Cancel one order, throttled. Raises :class:`RiskRejected` for too many cancels,
        :class:`OrderError`."""
        try:
            self._risk.admit_cancel()
        except RiskRejected as exc:
            self._refuse(exc)
            raise
        await self._sessions[venue].cancel(client_id)

    def _refuse(self, refusal: RiskRejected) -> None:
        self._metrics.risk.labels(refusal.rule).inc()
        if why := self._risk.refused(refusal):
            self._latch.engage(why)

    def _require_gate(self, session: VenueSession) -> None:
        if why := self._state.refusal:
            raise NotTrading("not_trading", why)
        if not session.reconciled:
            raise NotTrading("not_trading", f"{session.name} is being reconciled")

    def _stopped_meanwhile(self, session: VenueSession, client_id: str) -> str:
        order = session.oms.state.orders[client_id].order
        try:
            self._require_gate(session)
        except NotTrading as exc:
            return str(exc)
        if why := session.too_late(client_id):
            return why
        exposure = session.oms.state.exposure(order.symbol, without=client_id)
        return "only what reduces" if self._state.reducing and not reduces(order, exposure) else ""

    def _view(self, session: VenueSession, order: Order, without: str = "") -> RiskView:
        exposures: dict[tuple[str, str], Exposure] = {}
        marks: dict[tuple[str, str], Decimal] = {}
        for name, other in self._sessions.items():
            for symbol in {*other.symbols, *other.oms.state.positions}:
                exposures[name, symbol] = other.oms.state.exposure(symbol, without=without)
                if quote := other.connector.quote(symbol):
                    marks[name, symbol] = quote.mid
        traded = order.symbol in session.symbols
        quote = session.connector.quote(order.symbol) if traded else None
        steps = _instrument(session, order.symbol) if traded else None
        return RiskView(quote, exposures, marks, session.symbols, steps, self._state.reducing)


def _instrument(session: VenueSession, symbol: str) -> Instrument | None:
    try:
        return session.connector.instrument(symbol)
    except (OrderError, LookupError):
        return None


def require_not_banned(session: VenueSession) -> None:
    """Raise :class:`RiskRejected` while the venue throttles us: it would refuse any order, and one
    that was never sent doesn't count as an error."""
    if left := session.connector.banned_for:
        raise RiskRejected("venue_throttled", f"{session.name} is silent for {left:.1f} s more")
