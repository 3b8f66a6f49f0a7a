"""LiveExecutionLoop: the workers, and the one place where "may we trade?" is answered.

Workers run under one task group. One that fails in a way nobody foresaw ends the process, because
a half-working loop is worse than a restart; a failed write to disk stops trading for good; a venue
that is away is reconnected with a capped, jittered backoff and reconciled before anything is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tradepulse_runner.backup import require_whole
from tradepulse_runner.config import KillSwitchConfig, RunnerConfig
from tradepulse_runner.control import Directive, read_control
from tradepulse_runner.domain import Order, Positions
from tradepulse_runner.epoch import OrderIds, claim_epoch
from tradepulse_runner.errors import DurabilityLost, OrderError, RiskRejected
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.lock import StateLock
from tradepulse_runner.loss import DailyLoss
from tradepulse_runner.metrics import RunnerMetrics
from tradepulse_runner.oms import Oms
from tradepulse_runner.phase import Facts, Phase, decide
from tradepulse_runner.risk import RiskManager
from tradepulse_runner.session import BodyMismatch, VenueSession
from tradepulse_runner.signals import Signal
from tradepulse_runner.snapshot import Step, no_fault
from tradepulse_runner.strategy.base import Cancel, MarketView, Strategy
from tradepulse_runner.submission import Submitter
from tradepulse_runner.venues.base import ExecutionConnector

log = logging.getLogger(__name__)
CONTROL_INTERVAL = 0.25
SWEEP_INTERVAL = 0.5
FIRST_BACKOFF = 0.5
#: Seconds that a shutdown gives its cancels before it reports what is still open.
SHUTDOWN_PATIENCE = 8.0
NO_COUNTS = {"submitted": 0, "ok": 0, "error": 0}


@dataclass(frozen=True)
class LiveLoopConfig:
    """Where and how often. Times in seconds; ``credentials``: venue → directory of files."""

    state_dir: Path
    runner: str = "default/runner"
    credentials: Mapping[str, Path] = field(default_factory=dict)
    submission_interval: float = 0.25
    fill_poll_interval: float = 1.0
    heartbeat_interval: float = 1.0
    max_backoff: float = 60.0
    control_dir: Path | None = None
    kill_switch: KillSwitchConfig = field(default_factory=KillSwitchConfig)

    @classmethod
    def of(cls, config: RunnerConfig) -> LiveLoopConfig:
        """The loop's part of the configuration file."""
        return cls(
            state_dir=config.state_dir,
            runner=f"{config.runner.namespace}/{config.runner.name}",
            credentials={v.name: v.credentials_dir for v in config.venues if v.credentials_dir},
            control_dir=config.control_dir,
            kill_switch=config.kill_switch,
            **config.loop.model_dump(),
        )


class LiveExecutionLoop:
    """Trades on the connectors while nothing speaks against it. ``clock`` gives unix seconds."""

    def __init__(
        self,
        connectors: Mapping[str, ExecutionConnector],
        risk_manager: RiskManager,
        *,
        config: LiveLoopConfig,
        metrics: RunnerMetrics | None = None,
        strategy: Strategy | None = None,
        clock: Callable[[], float] = time.time,
        step: Step = no_fault,
    ) -> None:
        self.config = config
        self.metrics = metrics or RunnerMetrics(connectors)
        self.on_kill_switch: Signal[[str]] = Signal()
        self.on_reconnect: Signal[[str, int, float, Exception | None]] = Signal()
        self.on_position_snapshot: Signal[[str, Positions]] = Signal()
        self.sessions: dict[str, VenueSession] = {}
        self.heartbeat = 0.0
        self.epoch = 0
        self._connectors, self._risk, self._strategy = connectors, risk_manager, strategy
        self._clock, self._step = clock, step
        self._chance = random.Random()
        self._started = self._stopping = self._drained = False
        self._storage_failure = ""
        self._directive = Directive()
        self._kill: KillSwitch | None = None
        self._lock = StateLock(config.state_dir)
        self._submitter: Submitter | None = None
        self._task: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------

    async def start(self, cold_start: bool = False) -> None:
        """Load the state and begin; returns at once, trading begins once reconciled.

        ``cold_start`` sets the state on disk aside: everything is read from the venue and nothing
        old is sent. Raises :class:`StateError` for a state that can't be used.
        """
        self._lock.acquire()
        require_whole(self.config.state_dir)
        self._kill = KillSwitch(self.config.state_dir, clock=self._clock, step=self._step)
        ids = claim_epoch(self.config.state_dir, self.config.runner, step=self._step)
        self.epoch = ids.epoch
        self.metrics.epoch.set(ids.epoch)
        self.sessions = {
            name: self._open(connector, ids, cold_start)
            for name, connector in self._connectors.items()
        }
        self._submitter = Submitter(
            self.sessions,
            self._risk,
            ids,
            self.metrics,
            gate=self.gate,
            interval=self.config.submission_interval,
            step=self._step,
        )
        if self.config.kill_switch.engaged:
            await self.engage_kill_switch(f"config: {self.config.kill_switch.reason}")
        # A halt or a kill that was ordered while nobody ran comes before the first order.
        self._read_control()
        if self._directive.kill_switch:
            await self.engage_kill_switch(self._directive.kill_switch)
        self.metrics.kill_switch.set(int(self._kill.engaged))
        self.heartbeat = self._clock()
        self._started = True
        self._task = asyncio.create_task(self._work(), name="live-loop")
        log.info("live_loop.start", extra={"epoch": ids.epoch, "cold_start": cold_start})

    def _open(self, connector: ExecutionConnector, ids: OrderIds, cold: bool) -> VenueSession:
        oms = Oms(
            self.config.state_dir,
            connector.name,
            clock=self._clock,
            epoch=ids.epoch,
            step=self._step,
        )
        oms.open(cold_start=cold)
        return VenueSession(connector, oms, ids, clock=self._clock, step=self._step)

    async def wait(self) -> None:
        """Until the loop ends; raises what made it end, if anything did."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()

    async def shutdown(self) -> None:
        """Stop sending, cancel what rests, flush, snapshot, disconnect. Leaves no order behind
        that the venue would let go; what could not be cancelled is logged by id."""
        self._stopping = True
        if self._started:
            self._expire("shutdown")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_PATIENCE):
                    await self._drain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._cancel_unsettled()
        left = [r.client_id for s in self.sessions.values() for r in s.oms.state.live.values()]
        if left:
            log.error("live_loop.orders_left", extra={"orders": left})
        await self._save()
        for session in self.sessions.values():
            await session.connector.disconnect()
            session.oms.close()
        self._lock.release()
        log.info("live_loop.shutdown", extra={"orders_left": len(left)})

    async def _drain(self) -> None:
        """Until nothing rests. A venue that is still being reconciled is waited for: only then
        is it known what rests there."""
        while not self._storage_failure and (self._busy() or not self._reconciled()):
            if self._task is None or self._task.done():
                return
            await self._cancel_all()
            await asyncio.sleep(0.05)

    async def _cancel_unsettled(self) -> None:
        """What our books cannot vouch for is cancelled by the venue's list."""
        for session in self.sessions.values():
            if self._storage_failure or session.oms.state.live or not session.reconciled:
                with contextlib.suppress(OrderError):
                    await session.ask(session.connector.connect())
                    await session.cancel_without_state()

    def _busy(self) -> bool:
        flying = self._submitter.in_flight if self._submitter else 0
        return bool(flying) or any(s.oms.state.live for s in self.sessions.values())

    def _reconciled(self) -> bool:
        return all(session.reconciled for session in self.sessions.values())

    # -- what others may ask ---------------------------------------------------------------

    @property
    def started(self) -> bool:
        return self._started

    @property
    def directive(self) -> Directive:
        return self._directive

    @property
    def kill_switch(self) -> tuple[bool, str]:
        """Engaged, and why."""
        return (self._kill.engaged, self._kill.reason) if self._kill else (False, "")

    @property
    def halt_complete(self) -> bool:
        """Whether the halt that is asked for is done: nothing open, nothing unknown, saved."""
        return self._directive.halt and self._drained

    @property
    def counts(self) -> dict[str, int]:
        """Order requests sent, and how they ended."""
        return dict(self._submitter.counts if self._submitter else NO_COUNTS)

    def phase(self) -> tuple[Phase, str]:
        """The state, and why when it isn't TRADING."""
        engaged, reason = self.kill_switch
        return decide(
            Facts(
                started=self._started,
                stopping=self._stopping,
                storage_failure=self._storage_failure,
                reconciled=self._reconciled(),
                kill_switch=(reason or "no reason given") if engaged else "",
                halted=self._directive.halt,
                halt_reason=self._directive.reason,
            )
        )

    def gate(self) -> str:
        """Why no order may be sent now; "" while they may."""
        return self.phase()[1]

    def submit_order(self, venue: str, order: Order) -> str:
        """Queue an order; returns its client id. Raises :class:`RiskRejected`, KeyError."""
        if self._submitter is None:
            raise RiskRejected("not_trading", "the loop was not started")
        return self._submitter.submit(venue, order)

    async def cancel_order(self, order_id: str, venue: str) -> None:
        """Cancel one order. Raises :class:`OrderError`, KeyError."""
        await self.sessions[venue].cancel(order_id)

    async def engage_kill_switch(self, reason: str) -> None:
        """Latch on disk before anything else, then cancel everything."""
        if self._kill is None:
            return
        try:
            fresh = self._kill.engage(reason)
        except DurabilityLost as error:
            self._fail_storage(error)
            fresh = True
        if fresh:
            self.metrics.kill_switch.set(1)
            self.on_kill_switch.emit(reason)
            self._expire(f"kill switch: {reason}")

    # -- workers ---------------------------------------------------------------------------

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for session in self.sessions.values():
                group.create_task(self._guarded(partial(self._keep, session)))
            assert self._submitter is not None  # start() made it
            group.create_task(self._guarded(self._submitter.run))
            group.create_task(self._beat())  # writes nothing: it outlives a lost disk
            group.create_task(self._guarded(self._keep_snapshots))
            group.create_task(self._guarded(self._control))
            group.create_task(self._guarded(self._sweep))
            if self._strategy is not None:
                group.create_task(self._guarded(partial(self._trade, self._strategy)))

    async def _guarded(self, worker: Callable[[], Any]) -> None:
        """Run a worker; a lost disk stops trading for good but keeps the process observable."""
        try:
            await worker()
        except* DurabilityLost as group:
            self._fail_storage(_first(group))

    async def _keep(self, session: VenueSession) -> None:
        """Connect, reconcile, poll; and again when the venue was away."""
        attempt = 0
        while True:
            try:
                await session.ask(session.connector.connect())
                await session.reconcile()
                session.reconciled = True
                if attempt:
                    self.on_reconnect.emit(session.name, 0, 0.0, None)
                attempt = 0
                await self._poll(session)
            except BodyMismatch as error:
                await self.engage_kill_switch(str(error))
                # Our own book can't be trusted, so cancel by the venue's. Only a person can tell
                # what happened: asking faster helps nobody.
                with contextlib.suppress(OrderError):
                    await session.cancel_without_state()
                await asyncio.sleep(self.config.max_backoff)
            except OrderError as error:
                session.reconciled = False
                attempt += 1
                delay = self._backoff(attempt)
                log.warning(
                    "live_loop.reconnect",
                    extra={"venue": session.name, "attempt": attempt, "why": str(error)},
                )
                self.on_reconnect.emit(session.name, attempt, delay, error)
                await session.connector.disconnect()
                await asyncio.sleep(delay)

    def _backoff(self, attempt: int) -> float:
        top = min(self.config.max_backoff, FIRST_BACKOFF * 2 ** min(attempt - 1, 16))
        return self._chance.uniform(top / 2, top)

    async def _poll(self, session: VenueSession) -> None:
        """Ask the venue again and again, while it is believed to be reconciled."""
        loss = DailyLoss(self._risk, session, clock=self._clock)
        while session.reconciled:
            session.wake.clear()  # before the questions: what happens meanwhile wakes us again
            positions = await session.poll()
            self.metrics.position_timestamp.labels(session.name).set(self._clock())
            self.on_position_snapshot.emit(session.name, positions)
            if why := loss.broken():
                await self.engage_kill_switch(why)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.fill_poll_interval):
                    await session.wake.wait()

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

    async def _control(self) -> None:
        while True:
            self._read_control()
            if self._directive.kill_switch:
                await self.engage_kill_switch(self._directive.kill_switch)
            else:
                self._notice_reset()
            await asyncio.sleep(CONTROL_INTERVAL)

    def _read_control(self) -> None:
        found, before = read_control(self.config.control_dir), self._directive
        self._directive = found
        if found.halt and (not before.halt or found.token != before.token):
            self._drained = False
            log.warning("live_loop.halt", extra={"token": found.token, "why": found.reason})
            self._expire(f"halted: {found.reason}")
        elif before.halt and not found.halt:
            log.warning("live_loop.resume")
            self._distrust()

    def _notice_reset(self) -> None:
        """A person reset the latch on disk (`tradepulse-runner kill-switch reset`)."""
        if self._kill is None or not self._kill.engaged or self._storage_failure:
            return
        found = KillSwitch(self.config.state_dir, clock=self._clock, step=self._step)
        # A named reset, not a file that went missing: that would open the latch by accident.
        if not found.engaged and found.reset_by:
            self._kill = found
            self.metrics.kill_switch.set(0)
            log.warning("live_loop.kill_switch_reset", extra={"by": found.reset_by})
            self._distrust()

    def _distrust(self) -> None:
        """Reconcile anew before anything is sent."""
        for session in self.sessions.values():
            session.reconciled = False
            session.wake.set()

    async def _sweep(self) -> None:
        """While halted: cancel until nothing rests, then save once."""
        while True:
            if self._storage_failure:
                await self._cancel_unsettled()
            elif self.phase()[0] is Phase.HALTED:
                await self._sweep_once()
            await asyncio.sleep(SWEEP_INTERVAL if self._drained else CONTROL_INTERVAL)

    async def _sweep_once(self) -> None:
        if self._busy():
            self._drained = False
            await self._cancel_all()
        elif not self._drained:
            asked = self._directive
            await self._save()
            # Saving took time: the answer must be about the halt that is asked for now.
            halted = self.phase()[0] is Phase.HALTED and asked == self._directive
            self._drained = halted and not self._busy()

    async def _trade(self, strategy: Strategy) -> None:
        """One step a period, paced by due times so that the rate holds; never a burst."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due = max(due + strategy.period, clock())
            await asyncio.sleep(due - clock())
            if self.gate():
                continue
            for action in strategy.act(self._views()):
                try:
                    if isinstance(action, Cancel):
                        await self.cancel_order(action.client_id, action.venue)
                    else:
                        self.submit_order(action.venue, action.order)
                except RiskRejected as error:
                    log.debug("live_loop.risk_rejected", extra={"why": str(error)})
                except OrderError as error:
                    log.warning("live_loop.cancel_failed", extra={"why": str(error)})

    def _views(self) -> list[MarketView]:
        now, views = self._clock(), []
        for session in self.sessions.values():
            for symbol in sorted(session.symbols):
                quote = session.connector.quote(symbol)
                if quote is None:
                    continue
                state = session.oms.state
                resting = tuple(
                    r.client_id
                    for r in state.working()
                    if r.order.symbol == symbol and r.final is None
                )
                steps = session.connector.instrument(symbol)
                held = state.positions.get(symbol, quote.mid * 0)
                views.append(MarketView(session.name, symbol, now, quote, steps, held, resting))
        return views

    # -- stopping --------------------------------------------------------------------------

    def _expire(self, reason: str) -> None:
        if self._submitter is None:
            return
        try:
            self._submitter.expire_queue(reason)
        except DurabilityLost as error:
            self._fail_storage(error)

    async def _cancel_all(self) -> None:
        """One sweep. A disk that is lost meanwhile is noted, not raised: callers go on."""
        try:
            for session in self.sessions.values():
                # Whatever is live needs the venue's next word, not the next regular poll.
                if session.oms.state.live:
                    session.wake.set()
                if session.reconciled:
                    await session.cancel_all()
        except* DurabilityLost as group:
            self._fail_storage(_first(group))

    async def _save(self) -> None:
        for session in self.sessions.values():
            try:
                await session.oms.save()
            except DurabilityLost as error:
                self._fail_storage(error)

    def _fail_storage(self, error: BaseException) -> None:
        if not self._storage_failure:
            self._storage_failure = f"storage failed: {error}"
            log.critical("live_loop.storage_failed", extra={"why": str(error)})


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The innermost reason: groups nest as deep as the task groups did."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
