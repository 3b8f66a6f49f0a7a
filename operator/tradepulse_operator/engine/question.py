"""Which samples a cutover's next judgement needs. Pure."""

from __future__ import annotations

import math

from tradepulse_operator.api.cutover import CutoverPhase, ReleaseCutover
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.units import seconds
from tradepulse_operator.guard.limits import limits
from tradepulse_operator.ports.promql import Question
from tradepulse_operator.reconcile.conditions import instant

#: Phases in which the runner's previous release is the one that is watched.
_SOURCE = frozenset(
    {
        CutoverPhase.PENDING,
        CutoverPhase.PREFLIGHT,
        CutoverPhase.AWAITING_APPROVAL,
        CutoverPhase.VERIFYING,
        CutoverPhase.ROLLED_BACK,
    }
)
_WAITING = frozenset({CutoverPhase.PENDING, CutoverPhase.PREFLIGHT, CutoverPhase.AWAITING_APPROVAL})

UNCONFIGURED = (
    "no Prometheus is known: set spec.guardrails.prometheus, or the operator's --default-prometheus"
)


def question(
    cutover: ReleaseCutover, runner: TradingRunner, now: float, default: str
) -> Question | None:
    """What to ask Prometheus; None when it is unknown which one, or which release is meant.

    `default`: URL to ask when the cutover names none. The span begins where the last checkpoint
    ended, less what a judgement looks back on, in whole intervals: so the steps at which
    Prometheus evaluates a custom query are the moments that are judged.
    """
    guardrails = cutover.spec.guardrails
    release = watched(cutover)
    url = guardrails.prometheus or default
    if release is None or not url:
        return None
    held = limits(guardrails, runner.spec.monitoring.scrape_interval)
    span = held.lookback
    if guardrails.baseline and cutover.status.phase in _WAITING:
        span = max(span, seconds(guardrails.baseline.window))
    back = math.ceil(span / held.interval) * held.interval
    return Question(
        url=url,
        namespace=cutover.metadata.namespace,
        runner=cutover.spec.runner,
        release=release.id,
        since=min(_judged(cutover, now), now) - back,
        until=now,
        step=held.interval,
        custom={rule.name: rule.query for rule in guardrails.custom},
    )


def watched(cutover: ReleaseCutover) -> Release | None:
    """The release that is judged in this phase."""
    status = cutover.status
    return status.source if status.phase in _SOURCE else status.target


def _judged(cutover: ReleaseCutover, now: float) -> float:
    """Up to when everything has been judged: the checkpoint, or the beginning of the phase. Before
    the halt only the present counts, however long the wait has been."""
    status = cutover.status
    if status.phase in _WAITING:
        return now
    times = [status.bake.evaluated_until] if status.bake else []
    times += [status.phases[-1].at] if status.phases else []
    return max((instant(at) for at in times), default=now)
