"""The criteria of a live drill, and when each was met: process, metric, alert, notification.

The time at which a criterion was met is persisted before anything follows from it, so the outcome
depends on the status alone. It is decided once every criterion is met, or its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.spec.drill import DrillAlert, DrillTarget, RunningDrill
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import KILL_SWITCH_ALERT
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.observed.views import AlertView, MetricView
from tradepulse_operator.controllers.runner.context import RunnerContext

#: Seconds that the running process has to engage its kill switch and to cancel everything.
PROCESS = 60.0
#: Scrapes after which the metric of that must have been seen.
_SCRAPES = 3


@dataclass(frozen=True)
class Criterion:
    """One criterion. `field`: of the status, the time at which it was met; `met`: whether it is met
    now; `reason`: why not. `within`: seconds after the order. `applicable`: whether anything
    measures it."""

    field: str
    description: str
    met: bool
    reason: str
    within: float = PROCESS
    applicable: bool = True


def due_observations(runner: TradingRunner, now: float) -> tuple[bool, DrillAlert | None]:
    """Whether the metric, and which alert, is to be observed now; `now`: unix seconds."""
    status, spec = runner.status.drill, runner.spec.kill_switch_drill
    if status is None or spec is None:
        return status is not None and _live(status.running), None
    # Also as it comes due: what was delivered before is subtracted.
    wanted = _live(status.running) if status.running else instant(status.next) <= now
    return _live(status.running), spec.alert if wanted else None


def _live(running: RunningDrill | None) -> bool:
    return running is not None and running.target is DrillTarget.LIVE


def marked(view: RunnerContext, running: RunningDrill) -> RunningDrill:
    """The drill with the time of every criterion that is met by now."""
    at = timestamp(view.observed.now)
    times = {
        a.field: at for a in _criteria(view, running) if a.met and not getattr(running, a.field)
    }
    return running.model_copy(update=times) if times else running


def verdict(view: RunnerContext, running: RunningDrill) -> dict[str, Any] | None:
    """The result of the drill, as JSON values; None while it goes on."""
    took = view.observed.now - instant(running.started_at)
    criteria = list(_criteria(view, running))
    applicable = [
        criterion
        for criterion in criteria
        if criterion.applicable or getattr(running, criterion.field)
    ]
    missing = [criterion for criterion in applicable if getattr(running, criterion.field) is None]
    if any(took <= criterion.within for criterion in missing):
        return None
    return {
        "passed": not missing,
        "checks": [[criterion.description, criterion not in missing] for criterion in applicable],
        "measures": {
            f"{criterion.description}, s after the order": _after(running, criterion)
            for criterion in applicable
            if criterion not in missing
        },
        "notChecked": [
            f"{criterion.description}: {criterion.reason}"
            for criterion in criteria
            if criterion not in applicable
        ],
        "message": _message(running, missing),
    }


def _message(running: RunningDrill, missing: list[Criterion]) -> str:
    if missing:
        failures = "; ".join(
            f"{a.description}: not within {a.within:g} s: {a.reason}" for a in missing
        )
        return f"failed: {failures}"
    took = instant(running.cancelled_at or "") - instant(running.started_at)
    page = " and the alert delivered" if running.delivered_at else ""
    return f"engaged and everything cancelled {took:.1f} s after the order{page}; reset it by name"


def _after(running: RunningDrill, criterion: Criterion) -> float:
    return round(instant(getattr(running, criterion.field)) - instant(running.started_at), 1)


def _criteria(view: RunnerContext, running: RunningDrill) -> Iterator[Criterion]:
    yield from _of_process(view)
    yield _shown(view, running)
    yield from _paged(view, running)


def _of_process(view: RunnerContext) -> Iterator[Criterion]:
    process = view.observed.process
    engaged = process is not None and process.kill_switch
    left = process.open_orders + process.unknown_orders if process else 0
    takes = process.open_venues if process else ()
    silent = "the process gives no answer" if process is None else ""
    yield Criterion(
        "engaged_at",
        "the kill switch is engaged",
        engaged,
        silent or "the process reports that it is not",
    )
    yield Criterion(
        "cancelled_at",
        "nothing is left at the venues",
        engaged and left == 0,
        silent or f"{left} orders are left",
    )
    yield Criterion(
        "closed_at",
        "every connector is closed to new orders",
        engaged and takes == (),
        silent or (f"open: {', '.join(takes)}" if takes else "this release does not report it"),
        applicable=takes is not None,
    )


def _shown(view: RunnerContext, running: RunningDrill) -> Criterion:
    metric = view.observed.metric
    applicable = metric is not None
    scrape = seconds(view.runner.spec.monitoring.scrape_interval)
    return Criterion(
        "shown_at",
        "the metric of the kill switch moves",
        _is_newer(metric, instant(running.started_at)),
        _unseen(metric),
        within=PROCESS + _SCRAPES * scrape,
        applicable=applicable,
    )


def _is_newer(metric: MetricView | None, started: float) -> bool:
    return metric is not None and metric.engaged_at is not None and metric.engaged_at >= started


def _unseen(metric: MetricView | None) -> str:
    if metric is None:
        return "no Prometheus is known"
    return metric.problem or "Prometheus has no sample that says so"


def _paged(view: RunnerContext, running: RunningDrill) -> Iterator[Criterion]:
    spec, alert = view.runner.spec.kill_switch_drill, view.observed.alert
    wanted = spec.alert if spec else None
    if wanted is None:
        why = "spec.killSwitchDrill.alert names no Alertmanager"
        yield Criterion("delivered_at", "the alert is delivered", False, why, applicable=False)
        return
    within = seconds(wanted.within)
    unrouted = _unrouted(alert, wanted)
    yield Criterion(
        "alerted_at",
        f"the alert {KILL_SWITCH_ALERT} goes to {wanted.receiver}",
        not unrouted,
        unrouted,
        within=within,
    )
    untaken = _untaken(alert, running, wanted)
    routed = running.alerted_at is not None
    yield Criterion(
        "delivered_at",
        f"{wanted.receiver} takes its notification by {wanted.integration}",
        routed and not untaken,
        untaken or "no alert was routed to it",
        within=within,
    )


def _unrouted(alert: AlertView | None, wanted: DrillAlert) -> str:
    """Why nobody would be notified; "" when the alert is routed to the receiver."""
    if alert is None:
        return "Alertmanager was not queried"
    if alert.problem:
        return alert.problem
    if alert.silenced:
        return "it is silenced or inhibited: end the silence"
    if wanted.receiver not in alert.receivers:
        others = ", ".join(alert.receivers)
        return f"it goes to {others}" if others else "Alertmanager has no such alert"
    return ""


def _untaken(alert: AlertView | None, running: RunningDrill, wanted: DrillAlert) -> str:
    """Why no notification counts as delivered; "" when one was accepted since the order."""
    if running.taken_before is None:
        return "Alertmanager did not report its deliveries before the order"
    if alert is None or alert.problem:
        return alert.problem if alert else "Alertmanager was not queried"
    # It counts from 0 again when it was restarted.
    before = running.taken_before if alert.taken >= running.taken_before else 0
    if alert.taken > before:
        return ""
    return f"{alert.refused} were refused or lost so far, none was taken since the order"
