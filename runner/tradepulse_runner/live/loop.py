"""LiveExecutionLoop: puts the parts together, and answers "may we trade?" in one place.

Workers run under one task group. One that fails in a way nobody foresaw ends the process, because
a half-working loop is worse than a restart; a failed write to disk stops trading for good; a venue
that is away is reconnected with a capped, jittered backoff and reconciled before anything is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tradepulse_runner.config.runner import GuardConfig, KillSwitchConfig, RunnerConfig
from tradepulse_runner.credentials.store import CredentialStore
from tradepulse_runner.credentials.watch import CredentialWatch
from tradepulse_runner.domain import Order, Positions
from tradepulse_runner.errors import DurabilityLost, RiskRejected
from tradepulse_runner.files.lock import StateLock
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.lease.writer import LeaseLost, WriterLease
from tradepulse_runner.live.control import Directive
from tradepulse_runner.live.desk import Desk
from tradepulse_runner.live.guard_watch import GuardWatch
from tradepulse_runner.live.halting import Halting
from tradepulse_runner.live.keeper import Keeper
from tradepulse_runner.live.loss import DailyLoss
from tradepulse_runner.live.metrics import RunnerMetrics
from tradepulse_runner.live.phase import Facts, Phase, TradingState, decide
from tradepulse_runner.live.session import Drift, VenueSession
from tradepulse_runner.live.signals import Signal
from tradepulse_runner.live.submission import Submitter
from tradepulse_runner.live.trading import Trading
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


@dataclass(frozen=True)
class LiveLoopConfig:
    """Where and how often. Times in seconds; ``credentials``: venue → directory of files."""

    state_dir: Path
    runner: str = "default/runner"
    owner: str = ""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    submission_interval: float = 0.25
    fill_poll_interval: float = 1.0
    reconcile_interval: float = 5.0
    heartbeat_interval: float = 1.0
    credential_interval: float = 5.0
    max_backoff: float = 60.0
    while_reconciling: Literal["halt", "reduce"] = "halt"
    control_dir: Path | None = None
    kill_switch: KillSwitchConfig = field(default_factory=KillSwitchConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)

    @classmethod
    def of(cls, config: RunnerConfig) -> LiveLoopConfig:
        """The loop's part of the configuration file."""
        return cls(
            state_dir=config.state_dir,
            runner=f"{config.runner.namespace}/{config.runner.name}",
            owner=config.responsible,
            credentials={v.name: v.credentials_dir for v in config.venues if v.credentials_dir},
            control_dir=config.control_dir,
            kill_switch=config.kill_switch,
            guard=config.guard,
            **config.loop.model_dump(),
        )


class LiveExecutionLoop:
    """Trades on the connectors while nothing speaks against it. ``clock`` gives unix seconds.

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
        step: Step = no_fault,
    ) -> None:
        self.config = config
        self.metrics = metrics or RunnerMetrics(connectors)
        self.on_reconnect: Signal[[str, int, float, Exception | None]] = Signal()
        self.on_position_snapshot: Signal[[str, Positions]] = Signal()
        self.on_drift: Signal[[str, Drift, str]] = Signal()
        self.on_drift.connect(lambda venue, kind, _: self.metrics.drift.labels(venue, kind).inc())
        self.on_signal: Signal[[str, Order]] = Signal()  # what the strategy wants, before checks
        self.recorder: Recorder | None = None  # set before the start
        self.heartbeat = 0.0
        self.epoch = 0
        self._connectors, self._risk, self._strategy = connectors, risk_manager, strategy
        self._clock, self._step, self._writer = clock, step, writer
        self._credentials = CredentialWatch(
            credentials or {},
            self.metrics.registry,
            venues=connectors,
            interval=config.credential_interval,
        )
        self._started = self._stopping = self._waiting = False
        self._lock = StateLock(config.state_dir)
        self._task: asyncio.Task[None] | None = None
        self._desk = Desk()
        self._halting = Halting(
            self._desk,
            config.state_dir,
            config.control_dir,
            self.metrics,
            halted=lambda: self.phase()[0] is Phase.HALTED,
            reducing=lambda: bool(self._reduce_reason()),
            clock=clock,
            step=step,
        )
        self.guard = GuardWatch(config.guard, self.metrics.registry, kill=self._halting.latch)
        self.on_position_snapshot.connect(lambda venue, _: self.guard.polled(venue))
        self._loss = DailyLoss(risk_manager.limits, self._desk.sessions, clock=clock)
        self.metrics.follow_state(lambda: self.phase()[0].trading_state)
        self._watched = WatchMetrics(self.metrics.registry, connectors)
        self._watched.follow(self._shown_phase, self._desk.sessions, lambda: self._loss.share)

    # -- life ------------------------------------------------------------------------------

    async def start(self, cold_start: bool = False) -> None:
        """Load the state and begin; returns at once, trading begins once reconciled. Where there
        is a writer lease, it is waited for first.

        ``cold_start`` sets the state on disk aside: everything is read from the venue and nothing
        old is sent. Raises :class:`StateError` for a state that can't be used.
        """
        self._lock.acquire()
        require_whole(self.config.state_dir)
        at_least = await self._may_write()
        ids = claim_epoch(
            self.config.state_dir, self.config.runner, at_least=at_least, step=self._step
        )
        self.epoch = ids.epoch
        self.metrics.epoch.set(ids.epoch)
        for name, connector in self._connectors.items():
            self._desk.sessions[name] = self._open(connector, ids, cold_start)
        self._desk.submitter = Submitter(
            self._desk.sessions,
            self._risk,
            ids,
            self.metrics,
            gate=self.gate,
            reducing=lambda: self.phase()[0] is Phase.REDUCING,
            kill=self._halting.latch,
            interval=self.config.submission_interval,
            step=self._step,
        )
        self._desk.submitter.on_outcome.connect(self.guard.record)
        wanted = self.config.kill_switch
        await self._halting.open(f"config: {wanted.reason}" if wanted.engaged else "")
        self.heartbeat = self._clock()
        self._started = True
        self._task = asyncio.create_task(self._work(), name="live-loop")
        log.info("live_loop.start", extra={"epoch": ids.epoch, "cold_start": cold_start})

    async def _may_write(self) -> int:
        """Wait for the writer lease, if there is one; the least epoch that it allows."""
        if self._writer is None:
            return 0
        self._waiting = True
        beat = asyncio.create_task(self._beat())
        try:
            fence = max(c.unknown_fence for c in self._connectors.values())
            return await self._writer.acquire(known_epoch(self.config.state_dir), fence)
        finally:
            beat.cancel()
            self._waiting = False

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
        session = VenueSession(connector, oms, ids, clock=clock, on_drift=self.on_drift, step=step)
        session.on_refused = self._refused
        return session

    async def _refused(self, venue: str, began: float) -> None:
        self._watched.refused.labels(venue).inc()
        if why := self._credentials.verdict(venue, began):
            await self.engage_kill_switch(why)

    async def wait(self) -> None:
        """Until the loop ends; raises what made it end, if anything did."""
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
        """Stop sending, cancel what rests, flush, snapshot, disconnect. Leaves no order behind
        that the venue would let go; what could not be cancelled is logged by id."""
        self._stopping = True
        if self._started:
            self._desk.expire_queue("shutdown")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_PATIENCE):
                    await self._drain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._no_writer():  # else the orders are somebody else's by now
            await self._desk.cancel_unsettled()
        left = self._desk.live_orders()
        if left:
            log.error("live_loop.orders_left", extra={"orders": left})
        await self._desk.save()
        await self._desk.close()
        if self._writer is not None:
            await self._writer.release()
            await self._writer.close()
        self._lock.release()
        log.info("live_loop.shutdown", extra={"orders_left": len(left)})

    async def _drain(self) -> None:
        """Until nothing rests. A venue that is still being reconciled is waited for: only then
        is it known what rests there."""
        desk = self._desk
        while not desk.storage_failure and (desk.busy or not desk.reconciled):
            if self._task is None or self._task.done():
                return
            await desk.cancel_all()
            await asyncio.sleep(0.05)

    # -- what others may ask ---------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether it came up: the state is loaded, or the writer lease is waited for."""
        return self._started or self._waiting

    @property
    def connectors(self) -> Mapping[str, ExecutionConnector]:
        return self._connectors

    @property
    def strategy(self) -> Strategy | None:
        return self._strategy

    @property
    def sessions(self) -> dict[str, VenueSession]:
        return self._desk.sessions

    @property
    def on_kill_switch(self) -> Signal[[str]]:
        """Emitted with the reason, once per engagement."""
        return self._halting.on_kill_switch

    @property
    def directive(self) -> Directive:
        return self._halting.directive

    @property
    def kill_switch(self) -> tuple[bool, str]:
        """Engaged, and why."""
        return self._halting.kill_switch

    @property
    def uncancelled(self) -> list[dict[str, str]]:
        """What the engaged kill switch has not cancelled yet (see ``killreport``)."""
        return self._halting.uncancelled

    @property
    def all_cancelled(self) -> bool:
        """Whether the kill switch is engaged and nothing of ours is left at any venue."""
        return self._halting.all_cancelled

    @property
    def halt_complete(self) -> bool:
        """Whether the halt that is asked for is done: nothing open, nothing unknown, saved."""
        return self._halting.complete

    @property
    def in_flight(self) -> int:
        """Orders on their way: queued, or asked and not answered yet."""
        submitter = self._desk.submitter
        return submitter.waiting if submitter else 0

    @property
    def counts(self) -> dict[str, int]:
        """Order requests sent, and how they ended."""
        submitter = self._desk.submitter
        return dict(submitter.counts if submitter else NO_COUNTS)

    def phase(self) -> tuple[Phase, str]:
        """The state, and why when it isn't TRADING."""
        engaged, reason = self.kill_switch
        return decide(
            Facts(
                started=self._started,
                stopping=self._stopping,
                storage_failure=self._desk.storage_failure,
                reconciled=self._desk.reconciled,
                kill_switch=(reason or "no reason given") if engaged else "",
                halted=self.directive.halt or bool(self.guard.halt),
                halt_reason=self.directive.reason if self.directive.halt else self.guard.halt,
                others_may_reduce=self.config.while_reconciling == "reduce"
                and self._desk.partly_reconciled,
                reduce=self._reduce_reason(),
                lease=self._no_writer() if self.started else "",
            )
        )

    def _shown_phase(self) -> Phase:
        return self.phase()[0]

    def _reduce_reason(self) -> str:
        if self.directive.reduce:
            return f"reducing: {self.directive.reason or 'no reason given'}"
        return self._loss.soft_breach or self.guard.reduce

    def gate(self) -> str:
        """Why no order may be sent now; "" while they may, at least those that reduce."""
        phase, why = self.phase()
        return why if phase.trading_state is TradingState.HALTED else ""

    def _no_writer(self) -> str:
        """Why the writer lease allows no order now; "" when it does, or there is none."""
        return self._writer.refusal() if self._writer else ""

    def submit_order(self, venue: str, order: Order) -> str:
        """Queue an order; returns its client id. Raises :class:`RiskRejected`, KeyError."""
        if self._desk.submitter is None:
            raise RiskRejected("not_trading", "the loop was not started")
        return self._desk.submitter.submit(venue, order)

    def _submit_signal(self, venue: str, order: Order) -> str:
        self.on_signal.emit(venue, order)
        return self.submit_order(venue, order)

    async def cancel_order(self, order_id: str, venue: str | None = None) -> None:
        """Cancel one order, of whichever venue has it (ids are unique for ever). Raises
        :class:`RiskRejected` for too many cancels, :class:`OrderError`, KeyError."""
        if self._desk.submitter is None:
            raise RiskRejected("not_trading", "the loop was not started")
        await self._desk.submitter.cancel(venue or self._desk.venue_of(order_id), order_id)

    async def engage_kill_switch(self, reason: str) -> None:
        """Latch on disk before anything else, then cancel everything."""
        await self._halting.engage(reason)

    def engage_kill_switch_by(self, reason: str, *, by: str) -> bool:
        """The same by a named person, on disk on return; False when it was engaged already. Raises
        :class:`DurabilityLost`: engaged, but not on disk."""
        return self._halting.engage_by(reason, by=by)

    def latch(self) -> KillSwitch:
        """The kill switch as it is on disk, with its history."""
        return self._halting.latch_now()

    @property
    def storage_failure(self) -> str:
        """Why the disk can't be trusted any more; "" while it can."""
        return self._desk.storage_failure

    # -- workers ---------------------------------------------------------------------------

    async def _work(self) -> None:
        assert self._desk.submitter is not None  # start() made it
        workers: list[Worker] = [
            *(self._keeper(session).run for session in self.sessions.values()),
            self._desk.submitter.run,
            self._keep_snapshots,
            self._credentials.run,
            self._watch_levels,
            self._halting.watch,
            self._halting.sweep,
        ]
        if self._strategy is not None:
            workers.append(self._trading(self._strategy).run)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())  # writes nothing: it outlives a lost disk
            if self._writer is not None:
                group.create_task(self._writer.keep())
            for worker in workers:
                group.create_task(self._guarded(worker))

    async def _watch_levels(self) -> None:
        await self.guard.run(self.sessions, lambda: self.heartbeat)

    async def _guarded(self, worker: Worker) -> None:
        """Run a worker; a lost disk stops trading for good but keeps the process observable."""
        try:
            await worker()
        except* DurabilityLost as group:
            self._desk.fail_storage(group)

    def _keeper(self, session: VenueSession) -> Keeper:
        config = self.config
        return Keeper(
            session,
            self._loss,
            self.metrics,
            poll_interval=config.fill_poll_interval,
            reconcile_interval=config.reconcile_interval,
            max_backoff=config.max_backoff,
            on_reconnect=self.on_reconnect,
            on_positions=self.on_position_snapshot,
            kill=self.engage_kill_switch,
            clock=self._clock,
        )

    def _trading(self, strategy: Strategy) -> Trading:
        return Trading(
            strategy,
            self._desk,
            gate=self.gate,
            submit=self._submit_signal,
            cancel=self.cancel_order,
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
            self.metrics.kill_switch.set(int(self.kill_switch[0]))
            await asyncio.sleep(self.config.heartbeat_interval)

    async def _keep_snapshots(self) -> None:
        while True:
            for session in self.sessions.values():
                if session.oms.save_due:
                    await session.oms.save()
            await asyncio.sleep(self.config.heartbeat_interval)


def _lease_lost(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The loss of the writer lease, if that is what ended the workers."""
    found: BaseException | None = group.subgroup(LeaseLost)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
