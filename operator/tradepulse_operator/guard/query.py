"""Which samples a cutover's next judgement needs. Pure."""

from __future__ import annotations

import math
from typing import assert_never

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import Side, current
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant

from .limits import Limits, limits
from .promql import Endpoint, SampleQuery

UNCONFIGURED = (
    "no Prometheus is known: set spec.guardrails.prometheus, or the operator's --default-prometheus"
)


def sample_query(
    cutover: ReleaseCutover, runner: TradingRunner, now: float, default: str
) -> SampleQuery | None:
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
    thresholds = limits(guardrails, runner.spec.monitoring.scrape_interval)
    before = current(cutover.status).before_halt
    span = max(thresholds.lookback, _before(cutover, thresholds)) if before else thresholds.lookback
    back = math.ceil(span / thresholds.interval) * thresholds.interval
    return SampleQuery(
        endpoint=Endpoint(url),
        namespace=cutover.metadata.namespace,
        runner=cutover.spec.runner,
        release=release.id,
        since=min(_judged(cutover, now), now) - back,
        until=now,
        step=thresholds.interval,
        custom={rule.name: rule.query for rule in guardrails.custom},
    )


def baseline_query(
    cutover: ReleaseCutover, runner: TradingRunner, default: str
) -> SampleQuery | None:
    """Once more, what the baseline was measured on; None when there is nothing to ask for."""
    status, guardrails = cutover.status, cutover.spec.guardrails
    url = guardrails.prometheus or default
    if not url or status.source is None or status.baseline is None:
        return None
    thresholds = limits(guardrails, runner.spec.monitoring.scrape_interval)
    at = instant(status.baseline.at)
    return SampleQuery(
        endpoint=Endpoint(url),
        namespace=cutover.metadata.namespace,
        runner=cutover.spec.runner,
        release=status.source.id,
        since=at - _before(cutover, thresholds),
        until=at,
        step=thresholds.interval,
    )


def _before(cutover: ReleaseCutover, thresholds: Limits) -> float:
    """How far back the samples of a baseline reach: the newest is a metricGap old at most, and an
    increase counts at the later of two samples, which are a guardrails.window apart at most."""
    return seconds(cutover.spec.baseline.window) + thresholds.window + thresholds.metric_gap


def watched(cutover: ReleaseCutover) -> Release | None:
    """The release whose samples are judged in this phase."""
    status = cutover.status
    side = current(status).samples
    match side:
        case Side.SOURCE:
            return status.source
        case Side.TARGET:
            return status.target
        case _:
            assert_never(side)


def _judged(cutover: ReleaseCutover, now: float) -> float:
    """Up to when everything has been judged: the checkpoint, or the beginning of the phase. Before
    the halt only the present counts, however long the wait has been."""
    status = cutover.status
    if current(status).before_halt:
        return now
    times = [status.bake.evaluated_until] if status.bake else []
    times += [status.phases[-1].at] if status.phases else []
    return max((instant(at) for at in times), default=now)
