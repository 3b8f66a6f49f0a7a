"""The running release is measured in the last look before it is halted.

Recorded with the very write that begins the halt: whoever decides later finds the same limits, and
nothing is measured of a release that already drains.
"""

from __future__ import annotations

from tradepulse_operator.api.baseline import BaselineStatus
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.units import seconds
from tradepulse_operator.guard.baseline import measure, own_limits, tightened
from tradepulse_operator.guard.limits import Limits, limits

from .conditions import timestamp
from .observed import CutoverObserved


def measured(observed: CutoverObserved) -> BaselineStatus | None:
    """The baseline that the cutover asks for; None when it asks for none."""
    guardrails, runner = observed.cutover.spec.guardrails, observed.runner
    asked = guardrails.baseline
    if asked is None or runner is None or observed.recording is None:
        return None
    held = limits(guardrails, runner.spec.monitoring.scrape_interval)
    at = min(observed.now, observed.recording.until)
    found = measure(observed.recording, at, seconds(asked.window), held)
    errors, p95 = own_limits(found, asked.error_rate_increase, asked.p95_increase)
    return BaselineStatus(
        at=timestamp(at),
        window=asked.window,
        requests=found.requests,
        failed=found.failed,
        timed=found.timed,
        p95_latency=found.p95,
        error_rate_limit=errors,
        p95_limit=p95,
    )


def against(cutover: ReleaseCutover, held: Limits) -> Limits:
    """`held`, tightened by the baseline that was recorded."""
    found = cutover.status.baseline
    return tightened(held, found.error_rate_limit, found.p95_limit) if found else held
