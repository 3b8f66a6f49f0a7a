"""LiveExecutionLoop: puts the parts together; they share one trading state.

Workers run under one task group. An unexpected exception in one ends the process, because a
half-working loop is worse than a restart; a failed write to disk stops trading for good; a venue
that is away is reconnected with a capped, jittered backoff and reconciled before anything is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.credentials.watch import CredentialWatch
from tradepulse_runner.domain import Order, Positions
from tradepulse_runner.errors import DurabilityLost, RiskRejected
from tradepulse_runner.files.lock import StateLock
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.lease.writer import LeaseLost, WriterLease
from tradepulse_runner.live.control import Directive
from tradepulse_runner.live.guard_watch import GuardWatch
from tradepulse_runner.live.halt_controller import HaltController
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.killreport import KillReport
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.live.reconciliation import Drift, Reconciliation
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.session_supervisor import Pace, SessionSupervisor, VenueSignals
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.strategy_runner import StrategyRunner
from tradepulse_runner.live.submission import Submitter
from tradepulse_runner.live.trading_state import TradingState
from tradepulse_runner.live.venue_sessions import VenueSessions
from tradepulse_runner.live.watch_metrics import WatchMetrics
from tradepulse_runner.oms.book import Oms, Recorder
from tradepulse_runner.oms.epoch import OrderIds, claim_epoch, known_epoch
from tradepulse_runner.risk.manager import RiskManager
from tradepulse_runner.state.backup import require_whole
from tradepulse_runner.strategy.base import Strategy
from tradepulse_runner.venues.base import ExecutionConnector

log = logging.getLogger(__name__)
#: Seconds that a shutdown gives its cancels before it reports what is still open.
SHUTDOWN_PATIENCE = 8.0
NO_COUNTS = {"submitted": 0, "ok": 0, "error": 0}
Worker = Callable[[], Coroutine[Any, Any, None]]


class LiveExecutionLoop:
    """Trades on the connectors while :class:`TradingState` allows it. ``clock`` gives unix seconds,
    ``monotonic`` seconds that never fall.

    ``credentials``: the stores, by venue, that the connectors sign with; they are kept fresh."""

    def __init__(
        self,
        connectors: Mapping[str, ExecutionConnector],
        risk_manager: RiskManager,
        *,
        config: LiveLoopConfig,
        metrics: RunnerMetrics | None = None,
        strategy: Strategy | None = None,
        credentials: Mapping[str, CredentialStore] | None = None,
        writer: WriterLease | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        step: Step = no_fault,
    ) -> None:
        self.config = config
        self.metrics = metrics or RunnerMetrics(connectors)
        self.on_drift: Signal[[str, Drift, str]] = Signal()
        self.on_drift.connect(self._count_drift)
        self.on_signal: Signal[[str, Order]] = (
            Signal()
        )  # an order of the strategy, before risk checks
        self.recorder: Recorder | None = None  # set before the start
        self.heartbeat = 0.0
        self.epoch = 0
        self._connectors, self._risk, self._strategy = connectors, risk_manager, strategy
        self._clock, self._monotonic = clock, monotonic
        self._step, self._writer = step, writer
        self._credentials = CredentialWatch(
            credentials or {},
            self.metrics.registry,
            venues=connectors,
            interval=config.credential_interval,
        )
        self._lock = StateLock(config.state_dir)
        self._task: asyncio.Task[None] | None = None
        self.state = TradingState(
            others_may_reduce=config.while_reconciling == "reduce",
            clock=writer.clock if writer else monotonic,
        )
        if writer:
            writer.follow(self.state.set_lease)
        self._venues = VenueSessions(self.state)
        self._signals = VenueSignals()
        self._latch = KillLatch(config.state_dir, self.state, clock=clock, step=step)
        self._halts = HaltController(
            self._venues,
            self.state,
            self._latch,
            KillReport(config.state_dir, clock=clock),
            self.metrics,
            control_dir=config.control_dir,
        )
        self.guard = GuardWatch(
            config.guard, self.metrics.registry, self.state, self._latch, clock=monotonic
        )
        self.on_position_snapshot.connect(self._record_poll)
        self._loss = DailyLoss(risk_manager.limits, self.sessions, self.state, clock=clock)
        self.metrics.follow_state(self.state)
        self._watch_metrics = WatchMetrics(self.metrics.registry, connectors)
        self._watch_metrics.follow(self.state, self.sessions, self._loss)

    def _count_drift(self, venue: str, kind: Drift, _detail: str) -> None:
        self.metrics.drift.labels(venue, kind).inc()

    def _record_poll(self, venue: str, _positions: Positions) -> None:
        self.guard.polled(venue)

    # -- life ------------------------------------------------------------------------------

    async def start(self, cold_start: bool = False) -> None:
        """Load the state and begin; returns at once, trading begins once reconciled. With a writer
        lease, it waits for that first.

        ``cold_start`` sets the state on disk aside: everything is read from the venue and nothing
        old is sent. Raises :class:`StateError` for a state that can't be used.
        """
        self._lock.acquire()
        require_whole(self.config.state_dir)
        at_least = await self._acquire_lease()
        ids = claim_epoch(
            self.config.state_dir, self.config.runner, at_least=at_least, step=self._step
        )
        self.epoch = ids.epoch
        self.metrics.epoch.set(ids.epoch)
        for name, connector in self._connectors.items():
            self._venues.sessions[name] = self._open(connector, ids, cold_start)
        self._venues.submitter = Submitter(
            self.sessions,
            self.state,
            self._latch,
            self._risk,
            ids,
            self.metrics,
            interval=self.config.submission_interval,
            step=self._step,
        )
        self._venues.submitter.on_outcome.connect(self.guard.record)
        wanted = self.config.kill_switch
        self._halts.open(f"config: {wanted.reason}" if wanted.engaged else "")
        self.heartbeat = self._clock()
        self.state.set_started()
        self._task = asyncio.create_task(self._work(), name="live-loop")
        log.info("live_loop.start", extra={"epoch": ids.epoch, "cold_start": cold_start})

    async def _acquire_lease(self) -> int:
        """Wait for the writer lease, if there is one; the least epoch that it allows."""
        if self._writer is None:
            return 0
        self.state.set_waiting(True)
        beat = asyncio.create_task(self._beat())
        try:
            fence = max(c.outcome_horizon for c in self._connectors.values())
            return await self._writer.acquire(known_epoch(self.config.state_dir), fence)
        finally:
            beat.cancel()
            self.state.set_waiting(False)

    def _open(self, connector: ExecutionConnector, ids: OrderIds, cold: bool) -> VenueSession:
        clock, step = self._clock, self._step
        oms = Oms(
            self.config.state_dir,
            connector.name,
            clock=clock,
            epoch=ids.epoch,
            owner=self.config.owner or self.config.runner,
            step=step,
            recorder=self.recorder,
        )
        oms.open(cold_start=cold)
        session = VenueSession(
            connector,
            oms,
            ids,
            self.state,
            clock=clock,
            monotonic=self._monotonic,
            step=step,
        )
        session.on_refused = self._credentials_refused
        return session

    async def _credentials_refused(self, venue: str, began: float) -> None:
        self._watch_metrics.refused.labels(venue).inc()
        if why := self._credentials.verdict(venue, began):
            self._latch.engage(why)

    async def wait(self) -> None:
        """Wait until the loop ends. Raises the error that ended it, :class:`LeaseLost` as
        itself."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                try:
                    self._task.result()
                except BaseExceptionGroup as group:
                    if lost := _lease_lost(group):
                        raise lost from None
                    raise

    async def shutdown(self) -> None:
        """Stop sending, cancel what rests, flush, snapshot, disconnect. Orders that
        could not be cancelled are logged by id."""
        self.state.set_stopping()
        if self.state.facts.started:
            self._venues.expire_queue("shutdown")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_PATIENCE):
                    await self._drain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._is_writer():  # else the orders belong to the next writer by now
            await self._venues.cancel_unsettled()
        left = self._venues.live_orders()
        if left:
            log.error("live_loop.orders_left", extra={"orders": left})
        await self._venues.save()
        await self._venues.close()
        if self._writer is not None:
            await self._writer.release()
            await self._writer.close()
        self._lock.release()
        log.info("live_loop.shutdown", extra={"orders_left": len(left)})

    async def _drain(self) -> None:
        """Cancel until no order rests. A venue that is still being reconciled is waited for: only
        then are its resting orders known."""
        while not self.storage_failure and (self._venues.busy or not self.state.facts.reconciled):
            if self._task is None or self._task.done():
                return
            await self._venues.cancel_all()
            await asyncio.sleep(0.05)

    # -- status ----------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether the start succeeded: the state is loaded, or it waits for the writer lease."""
        facts = self.state.facts
        return facts.started or facts.waiting

    @property
    def connectors(self) -> Mapping[str, ExecutionConnector]:
        return self._connectors

    @property
    def strategy(self) -> Strategy | None:
        return self._strategy

    @property
    def sessions(self) -> dict[str, VenueSession]:
        return self._venues.sessions

    @property
    def on_reconnect(self) -> Signal[[str, int, float, Exception | None]]:
        """Emitted with venue, attempt (0: reconnected), pause in seconds, and the error."""
        return self._signals.reconnect

    @property
    def on_position_snapshot(self) -> Signal[[str, Positions]]:
        """Emitted with venue and positions after each poll."""
        return self._signals.positions

    @property
    def on_kill_switch(self) -> Signal[[str]]:
        """Emitted with the reason, once per engagement."""
        return self._latch.on_engaged

    @property
    def directive(self) -> Directive:
        return self.state.facts.directive

    @property
    def kill_switch(self) -> tuple[bool, str]:
        """Engaged, and why."""
        return self._latch.engaged, self.state.facts.kill_switch or ""

    @property
    def uncancelled(self) -> list[dict[str, str]]:
        """What the engaged kill switch has not cancelled yet (see ``killreport``)."""
        return self._halts.uncancelled

    @property
    def all_cancelled(self) -> bool:
        """Whether the kill switch is engaged and nothing of ours is left at any venue."""
        return self._halts.all_cancelled

    @property
    def halt_complete(self) -> bool:
        """Whether the halt that is asked for is done: nothing open, nothing unknown, saved."""
        return self.state.facts.halt_complete

    @property
    def in_flight(self) -> int:
        """Orders that are queued, or sent and not answered yet."""
        submitter = self._venues.submitter
        return submitter.waiting if submitter else 0

    @property
    def counts(self) -> dict[str, int]:
        """Order requests sent, and how they ended."""
        submitter = self._venues.submitter
        return dict(submitter.counts if submitter else NO_COUNTS)

    def phase(self) -> tuple[Phase, str]:
        """The state, and why when it isn't TRADING."""
        decision = self.state.decision
        return decision.phase, decision.why

    def _is_writer(self) -> bool:
        return not (self._writer and self._writer.refusal())

    def submit_order(self, venue: str, order: Order) -> str:
        """Queue an order; returns its client id. Raises :class:`RiskRejected`, KeyError."""
        if self._venues.submitter is None:
            raise RiskRejected("not_trading", "the loop was not started")
        return self._venues.submitter.submit(venue, order)

    async def cancel_order(self, order_id: str, venue: str | None = None) -> None:
        """Cancel one order, of whichever venue has it (ids are unique for ever). Raises
        :class:`RiskRejected` for too many cancels, :class:`OrderError`, KeyError."""
        if self._venues.submitter is None:
            raise RiskRejected("not_trading", "the loop was not started")
        await self._venues.submitter.cancel(venue or self._venues.venue_of(order_id), order_id)

    async def engage_kill_switch(self, reason: str) -> None:
        """Latch on disk before anything else, then cancel everything."""
        self._latch.engage(reason)

    def engage_kill_switch_by(self, reason: str, *, by: str) -> bool:
        """Engage it in a person's name, on disk on return; False when it was engaged already.
        Raises :class:`DurabilityLost`: engaged, but not on disk."""
        return self._latch.engage_by(reason, by=by)

    def latch(self) -> KillSwitch:
        """The kill switch as it is on disk, with its history."""
        return self._latch.on_disk()

    @property
    def storage_failure(self) -> str:
        """Why the disk can't be trusted any more; "" while it can."""
        return self.state.facts.storage_failure

    # -- workers ---------------------------------------------------------------------------

    async def _work(self) -> None:
        submitter = self._venues.submitter
        assert submitter is not None  # start() made it
        workers: list[Worker] = [
            *(self._supervisor(session).run for session in self.sessions.values()),
            submitter.run,
            self._keep_snapshots,
            self._credentials.run,
            self._watch_guard,
            self._halts.watch,
            self._halts.sweep,
        ]
        if self._strategy is not None:
            workers.append(self._strategy_runner(self._strategy, submitter).run)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())  # writes nothing: it outlives a lost disk
            if self._writer is not None:
                group.create_task(self._writer.keep())
            for worker in workers:
                group.create_task(self._guarded(worker))

    async def _watch_guard(self) -> None:
        await self.guard.run(self.sessions, lambda: self.heartbeat)

    async def _guarded(self, worker: Worker) -> None:
        """Run a worker; a lost disk stops trading for good but keeps the process observable."""
        try:
            await worker()
        except* DurabilityLost as group:
            self.state.fail_storage(group)

    def _supervisor(self, session: VenueSession) -> SessionSupervisor:
        config = self.config
        pace = Pace(config.fill_poll_interval, config.reconcile_interval, config.max_backoff)
        reconciliation = Reconciliation(
            session, on_drift=self.on_drift, clock=self._clock, step=self._step
        )
        return SessionSupervisor(
            session,
            reconciliation,
            self._latch,
            self._loss,
            self.metrics,
            self._signals,
            pace,
            clock=self._clock,
        )

    def _strategy_runner(self, strategy: Strategy, submitter: Submitter) -> StrategyRunner:
        return StrategyRunner(
            strategy,
            self.state,
            self.sessions,
            submitter,
            on_signal=self.on_signal,
            clock=self._clock,
        )

    async def _beat(self) -> None:
        while True:
            for session in self.sessions.values():
                state = session.oms.state
                resting = len(state.working()) + len(state.unresolved())
                self.metrics.open_orders.labels(session.name).set(resting)
            self.heartbeat = self._clock()
            self.metrics.heartbeat.set(self.heartbeat)
            await asyncio.sleep(self.config.heartbeat_interval)

    async def _keep_snapshots(self) -> None:
        while True:
            for session in self.sessions.values():
                if session.oms.save_due:
                    await session.oms.save()
            await asyncio.sleep(self.config.heartbeat_interval)


def _lease_lost(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The loss of the writer lease, if that is what ended the workers."""
    lost: BaseException | None = group.subgroup(LeaseLost)
    while isinstance(lost, BaseExceptionGroup):
        lost = lost.exceptions[0]
    return lost
