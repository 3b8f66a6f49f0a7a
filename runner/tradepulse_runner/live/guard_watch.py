"""The guard in a running loop: its inputs, its metrics and status, and the action on a breach.

``alert`` reports it and leaves the decision to the operator. ``reduce`` and ``halt`` restrict
trading until the cooldown has passed and no service level is breached any more; ``kill`` latches
the kill switch, which only a person resets.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge

from tradepulse_runner.config.runner import GuardConfig
from tradepulse_runner.guard.auto_rollback import AutoRollbackGuard, Summary, broken
from tradepulse_runner.guard.slo import Kind, Reason, SLOConfig
from tradepulse_runner.live.kill_latch import KillLatch
from tradepulse_runner.live.session import VenueSession
from tradepulse_runner.live.trading_state import TradingState

log = logging.getLogger(__name__)
INTERVAL = 1.0


class GuardMetrics:
    """Series by reason, all at 0 in the first scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.breach = Gauge(
            "tradepulse_guard_breach",
            "1 while the runner's own guard sees a service level breached.",
            ["reason"],
            registry=registry,
        )
        self.triggers = Counter(
            "tradepulse_guard_triggers",
            "Breaches that the runner's own guard acted on, at most one per cooldown.",
            ["reason"],
            registry=registry,
        )
        for reason in Reason:
            self.breach.labels(reason)
            self.triggers.labels(reason)


class GuardWatch:
    """Feeds an :class:`AutoRollbackGuard`, and restricts trading by its findings. ``clock`` gives
    seconds that never fall."""

    def __init__(
        self,
        config: GuardConfig,
        registry: CollectorRegistry,
        state: TradingState,
        latch: KillLatch,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = SLOConfig(**config.model_dump(exclude={"action"}))
        self.guard = AutoRollbackGuard(limits, rollback_callback=self._triggered, clock=clock)
        self._action, self._clock = config.action, clock
        self._state, self._latch = state, latch
        self._metrics = GuardMetrics(registry)
        self._quotes: dict[str, float] = {}
        self._last_heartbeat = 0.0
        self._why = ""

    # -- inputs ----------------------------------------------------------------------------

    def record(self, venue: str, success: bool, seconds: float) -> None:
        """Record the outcome of an order request; no answer is a failure. ``seconds``: until the
        answer, or until it was given up."""
        self.guard.record_outcome(seconds * 1000, success)

    def polled(self, venue: str) -> None:
        """A venue's orders, fills and positions were read."""
        self.guard.note(f"fill_poll {venue}")

    async def run(
        self, sessions: Mapping[str, VenueSession], heartbeat: Callable[[], float]
    ) -> None:
        """Worker: evaluate every ``INTERVAL`` seconds, or more often if the gap is short."""
        for subject in ("heartbeat", *(f"market_data {v}" for v in sessions)):
            self.guard.expect(subject)
        for venue in sessions:
            self.guard.expect(f"fill_poll {venue}")
        while True:
            self.look(sessions, heartbeat())
            await asyncio.sleep(min(INTERVAL, self.guard.config.gap / 3))

    def look(self, sessions: Mapping[str, VenueSession], heartbeat: float) -> None:
        """Record signs of life since the last evaluation, then judge every service level."""
        if heartbeat != self._last_heartbeat:
            self._last_heartbeat = heartbeat
            self.guard.note("heartbeat")
        for venue, session in sessions.items():
            newest = _newest_quote(session)
            if newest != self._quotes.get(venue, 0.0):
                self._quotes[venue] = newest
                self.guard.note(f"market_data {venue}")
        self.guard.evaluate()
        for reason in Reason:
            finding = self.guard.findings.get(reason)
            bad = finding is not None and finding.kind in (Kind.BREACH, Kind.GAP)
            self._metrics.breach.labels(reason).set(int(bad))
        self._release_if_healthy()

    # -- outputs ---------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The guard's part of ``/status``; null is unknown, or a number that JSON doesn't have."""
        summary = self.guard.last_summary or {}
        reason = broken(self.guard.findings)
        return {
            "action": self._action,
            "breach": str(reason) if reason else "",
            "restrained": self._why if self._action in ("reduce", "halt") else "",
            "findings": {str(r): str(finding.kind) for r, finding in self.guard.findings.items()},
            **{
                name: value if isinstance(value, str) or math.isfinite(value) else None
                for name, value in summary.items()
                if name != "reason"
            },
        }

    def _triggered(self, reason: str, summary: Summary) -> None:
        self._metrics.triggers.labels(reason).inc()
        self._apply_action(f"guard: {self._explain(Reason(reason), summary)}")

    def _apply_action(self, why: str) -> None:
        """Take the configured action for ``why``; "" lifts a restriction, but not the kill
        switch."""
        self._why = why
        match self._action:
            case "halt":
                self._state.set_guard(halt=why)
            case "reduce":
                self._state.set_guard(reduce=why)
            case "kill":
                if why:
                    self._latch.engage(why)
            case "alert":
                pass
            case _:
                assert_never(self._action)

    def _explain(self, reason: Reason, summary: Summary) -> str:
        limits = self.guard.config
        if reason is Reason.ERROR_RATE:
            return f"error rate {summary['error_rate']:.4g} above {limits.error_rate_threshold:g}"
        if reason is Reason.LATENCY:
            return (
                f"p95 latency {summary['latency_p95_ms']:.4g} ms above "
                f"{limits.latency_threshold_ms:g} ms"
            )
        return f"{summary['silent']} silent for {summary['silence_seconds']:.4g} s"

    def _release_if_healthy(self) -> None:
        """Lift the restriction after the cooldown. It can't wait for good requests: while trading
        is restricted there are none."""
        at = self.guard.last_triggered_at
        if not self._why or at is None or broken(self.guard.findings):
            return
        if self._clock() - at >= self.guard.config.cooldown:
            log.warning("guard.released", extra={"action": self._action, "why": self._why})
            self._apply_action("")


def _newest_quote(session: VenueSession) -> float:
    quotes = (session.connector.quote(symbol) for symbol in session.symbols)
    return max((quote.timestamp for quote in quotes if quote is not None), default=0.0)
