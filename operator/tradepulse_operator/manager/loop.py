"""One reconciliation of one object: observe, decide, carry out one step, emit events.

    key → observe (live) → decide (pure) → carry out → events → again, until Wait

Orders to halt a pod or engage its kill switch are decided on the API server's objects alone; only
then is the process queried, which may hang or lie.

Every reconciliation starts without memory, so a process that dies in one leaves nothing half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.read import NotUnderstood
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import ref_of
from tradepulse_operator.controllers.events import not_understood
from tradepulse_operator.controllers.observed.views import CutoverObserved, RunnerObserved
from tradepulse_operator.controllers.runner.raw import RawRunner
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    Event,
    FileReport,
    Replace,
    SetFinalizers,
    Step,
    Wait,
    WriteStatus,
)

from .apply import Applier
from .events import Emitter
from .key import Key
from .leader import LeaseLost
from .logging import about
from .metrics import Metrics
from .observe import Observer

Request = Apply | Replace | Delete | Annotate | SetFinalizers | WriteStatus | FileReport

#: A user's ConfigMap carries no label of ours, so no watch covers it: runners that name one are
#: reconciled again after these seconds. A change of configuration is then found within them.
CONFIG_RESYNC = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconcilers:
    """The pure core, as functions."""

    #: Orders to halt or to engage the kill switch, decided before the process is queried.
    restraint: Callable[[RunnerObserved], Step | None]
    runner: Callable[[RunnerObserved], Step]
    cutover: Callable[[CutoverObserved], Step]
    runner_events: Callable[[TradingRunner], Iterable[Event]]
    cutover_events: Callable[[ReleaseCutover], Iterable[Event]]
    raw_runner: Callable[[RawRunner], Step]
    raw_events: Callable[[RawRunner], Iterable[Event]]


class Loop:
    """`reconcile` is the queue's work. `may_act`: whether this process is the leader now."""

    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        emitter: Emitter,
        *,
        reconcilers: Reconcilers,
        metrics: Metrics,
        may_act: Callable[[], bool],
    ) -> None:
        self._observer = observer
        self._applier = applier
        self._emitter = emitter
        self._reconcilers = reconcilers
        self._metrics = metrics
        self._may_act = may_act

    async def reconcile(self, key: Key) -> float | None:
        """Seconds to the next reconciliation; None: at the next event, 0: at once. Raises
        KubeError."""
        with about(key):
            try:
                if key.kind == TradingRunner.KIND:
                    return await self._runner(key)
                return await self._cutover(key)
            except NotUnderstood as problem:
                # The CRD refuses such an object; only one of another version lets it in.
                _log.error("%s", problem)
                return await self._unread(key, problem)

    async def _runner(self, key: Key) -> float | None:
        observed = await self._observer.runner(key)
        if observed is None:
            self._metrics.objects.forget(key)
            return None
        self._metrics.objects.runner(observed.runner)
        step = self._reconcilers.restraint(observed)
        if step is None:
            observed = await self._observer.with_process_status(observed)
            step = self._reconcilers.runner(observed)
        delay = await self._carry_out(key, step)
        await self._emitter.ensure(
            TradingRunner.KIND,
            observed.runner.metadata,
            self._reconcilers.runner_events(observed.runner),
        )
        if observed.runner.spec.release.config is None or delay == 0:
            return delay
        return CONFIG_RESYNC if delay is None else min(delay, CONFIG_RESYNC)

    async def _unread(self, key: Key, problem: NotUnderstood) -> float | None:
        """Reconcile an object that can't be parsed, or whose claimed cutover can't."""
        if key.kind != TradingRunner.KIND:
            return await self._unread_cutover(key, problem)
        observed = await self._observer.raw_runner(key, problem)
        if observed is None:
            self._metrics.objects.forget(key)
            return None
        self._metrics.objects.not_understood(key)
        delay = await self._carry_out(key, self._reconcilers.raw_runner(observed))
        await self._emitter.ensure(
            TradingRunner.KIND, observed.meta, self._reconcilers.raw_events(observed)
        )
        return delay

    async def _unread_cutover(self, key: Key, problem: NotUnderstood) -> float | None:
        """Its own status can't be written without being understood: an event reports it."""
        meta = await self._observer.meta(key)
        if meta is None:
            self._metrics.objects.forget(key)
            return None
        event = not_understood(str(problem), meta.generation, self._observer.now())
        await self._emitter.ensure(ReleaseCutover.KIND, meta, [event])
        return None

    async def _cutover(self, key: Key) -> float | None:
        observed = await self._observer.cutover(key)
        if observed is None:
            self._metrics.objects.forget(key)
            return None
        self._metrics.objects.cutover(key, observed.cutover)
        step = self._reconcilers.cutover(observed)
        delay = await self._carry_out(key, step)
        self._count(observed.cutover, step)
        await self._emitter.ensure(
            ReleaseCutover.KIND,
            observed.cutover.metadata,
            self._reconcilers.cutover_events(observed.cutover),
        )
        return delay

    async def _carry_out(self, key: Key, step: Step) -> float | None:
        if isinstance(step, Wait):
            _log.debug("waiting: %s", step.reason)
            return step.seconds
        # Checked as late as possible; what is under way when the lease is lost ends before
        # another may begin (lease.py).
        if not self._may_act():
            raise LeaseLost("not the leader")
        kind = type(step).__name__
        self._metrics.stepped(key, kind)
        done = await self._applier.carry_out(step)
        _log.info("%s %s%s", kind, _target(step), "" if done else ": refused, retrying")
        return 0.0

    def _count(self, cutover: ReleaseCutover, step: Step) -> None:
        self._metrics.advanced(cutover)
        if not isinstance(step, WriteStatus):
            return
        before = cutover.status.verdict
        verdict = step.status.get("verdict")
        if verdict and (before is None or before.at != verdict["at"]):
            self._metrics.judged(verdict["verdict"], verdict.get("guardrail", ""))


def _target(step: Request) -> str:
    ref = ref_of(step.manifest) if isinstance(step, Apply | Replace) else step.ref
    return f"{ref.kind}/{ref.name}"
