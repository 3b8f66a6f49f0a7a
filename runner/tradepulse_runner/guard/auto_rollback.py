"""AutoRollbackGuard: watches the service levels from inside and triggers once when one is breached.

It does not roll back by itself: the operator does, on its own evidence. What a trigger leads to in
the process is decided by ``guard.action`` (see :mod:`tradepulse_runner.live.guard_watch`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from tradepulse_runner.guard.slo import (
    Finding,
    Kind,
    Reason,
    Silence,
    SLOConfig,
    Window,
    judge,
    judge_errors,
    judge_latency,
)

log = logging.getLogger(__name__)
Summary = dict[str, float | str]
Findings = dict[Reason, Finding]
_BROKEN = (Kind.BREACH, Kind.GAP)


def broken(findings: Findings) -> Reason | None:
    """The most urgent service level that is broken."""
    return next((reason for reason in Reason if reason in findings and _is(findings[reason])), None)


def _is(finding: Finding) -> bool:
    return finding.kind in _BROKEN


class AutoRollbackGuard:
    """Calls ``rollback_callback(reason, summary)`` when a service level is broken, and not again
    within the cooldown. ``clock`` gives seconds that never fall; its zero does not matter.

    A summary contains ``reason``, ``error_rate`` (share), ``latency_p95_ms`` (infinite above the
    largest bucket), ``total_requests``, ``silence_seconds``, ``silent``, ``window_seconds``; NaN:
    unknown.
    """

    def __init__(
        self,
        config: SLOConfig | None = None,
        *,
        rollback_callback: Callable[[str, Summary], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config or SLOConfig()
        self.findings: Findings = {}
        self.last_triggered_at: float | None = None
        self.last_summary: Summary | None = None
        self._callback, self._clock = rollback_callback, clock
        self._window = Window(self.config.evaluation_period)
        self._silence = Silence(self.config.gap)

    def record_outcome(
        self, latency_ms: float, success: bool, *, timestamp: float | None = None
    ) -> bool:
        """Count the answer to one order request; whether this triggered. ValueError for a latency
        that is none."""
        if not latency_ms >= 0:
            raise ValueError(f"latency_ms must be a number from 0, got {latency_ms}")
        now = self._now(timestamp)
        self._window.add(now, latency_ms / 1000, success=success)
        return self._weigh(now, judge(self._at(now), self.config))

    def expect(self, subject: str, *, timestamp: float | None = None) -> None:
        """Signs of life of ``subject`` are due from now on."""
        self._silence.expect(subject, self._now(timestamp))

    def note(self, subject: str, *, timestamp: float | None = None) -> None:
        """A sign of life of ``subject``: ``heartbeat``, ``market_data <venue>``, …"""
        self._silence.note(subject, self._now(timestamp))

    def evaluate(self, *, timestamp: float | None = None) -> bool:
        """Judge every service level as of now; whether this triggered."""
        now = self._now(timestamp)
        findings = judge(self._at(now), self.config)
        return self._weigh(now, {Reason.GAP: self._silence.judge(now), **findings})

    def evaluate_snapshot(
        self,
        *,
        error_rate: float,
        latency_p95_ms: float,
        timestamp: float | None = None,
        total_requests: int | None = None,
    ) -> bool:
        """Judge numbers that the caller aggregated; whether this triggered. Without
        ``total_requests`` they count as enough. ValueError for what can't be one."""
        if not 0.0 <= error_rate <= 1.0:
            raise ValueError(f"error_rate must be from 0 to 1, got {error_rate}")
        if not latency_p95_ms >= 0:
            raise ValueError(f"latency_p95_ms must be a number from 0, got {latency_p95_ms}")
        findings = {
            Reason.ERROR_RATE: judge_errors(error_rate, self.config.error_rate_threshold),
            Reason.LATENCY: judge_latency(latency_p95_ms / 1000, self.config.latency_threshold_ms),
        }
        if total_requests is not None and total_requests < self.config.min_requests:
            findings = dict.fromkeys(findings, Finding(Kind.UNKNOWN))
        requests = math.nan if total_requests is None else float(total_requests)
        return self._weigh(self._now(timestamp), findings, requests)

    def _now(self, timestamp: float | None) -> float:
        return self._clock() if timestamp is None else timestamp

    def _at(self, now: float) -> Window:
        self._window.expire(now)
        return self._window

    def _weigh(self, now: float, findings: Findings, requests: float | None = None) -> bool:
        self.findings = {**self.findings, **findings}
        total = float(self._window.total) if requests is None else requests
        self.last_summary = self._summary(self.findings, total)
        reason = broken(findings)
        if reason is None or self._cooling(now):
            return False
        self.last_triggered_at = now
        self.last_summary = {"reason": str(reason), **self.last_summary}
        log.warning("guard.breach", extra=dict(self.last_summary))
        if self._callback is not None:
            self._callback(str(reason), dict(self.last_summary))
        return True

    def _cooling(self, now: float) -> bool:
        last = self.last_triggered_at
        return last is not None and now - last < self.config.cooldown

    def _summary(self, findings: Findings, requests: float) -> Summary:
        gap = findings.get(Reason.GAP)
        return {
            "error_rate": _value(findings.get(Reason.ERROR_RATE)),
            "latency_p95_ms": _value(findings.get(Reason.LATENCY)) * 1000,
            "total_requests": requests,
            "silence_seconds": _value(gap),
            "silent": gap.subject if gap and gap.kind is Kind.GAP else "",
            "window_seconds": self.config.evaluation_period,
        }


def _value(finding: Finding | None) -> float:
    return math.nan if finding is None or finding.value is None else finding.value
