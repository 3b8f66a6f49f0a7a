"""What a live drill has to show, and when it did: the process, the metric, the alert, the page.

What became true is noted in the status with its time before anything follows from it, so the
outcome rests on what is persisted. It is decided once everything is shown, or too late.
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
class Aim:
    """One thing to show. `field`: where the status notes when; `so`: whether it is so now;
    `why_not` in words. `within`: seconds after the order. Not `asked`: nobody can tell."""

    field: str
    words: str
    so: bool
    why_not: str
    within: float = PROCESS
    asked: bool = True


def asks(runner: TradingRunner, now: float) -> tuple[bool, DrillAlert | None]:
    """Whether the metric, and which alert, is to be looked at now."""
    status, spec = runner.status.drill, runner.spec.kill_switch_drill
    if status is None or spec is None:
        return status is not None and _live(status.running), None
    # Also as it comes due: what was delivered before is counted off.
    wanted = _live(status.running) if status.running else instant(status.next) <= now
    return _live(status.running), spec.alert if wanted else None


def _live(running: RunningDrill | None) -> bool:
    return running is not None and running.target is DrillTarget.LIVE


def marked(view: RunnerContext, running: RunningDrill) -> RunningDrill:
    """The drill with the time of everything that is so by now."""
    at = timestamp(view.seen.now)
    news = {a.field: at for a in _aims(view, running) if a.so and not getattr(running, a.field)}
    return running.model_copy(update=news) if news else running


def verdict(view: RunnerContext, running: RunningDrill) -> dict[str, Any] | None:
    """What the drill found, as JSON values; None while it goes on."""
    took = view.seen.now - instant(running.started_at)
    aims = list(_aims(view, running))
    asked = [aim for aim in aims if aim.asked or getattr(running, aim.field)]
    missing = [aim for aim in asked if getattr(running, aim.field) is None]
    if any(took <= aim.within for aim in missing):
        return None
    return {
        "passed": not missing,
        "checks": [[aim.words, aim not in missing] for aim in asked],
        "measures": {
            f"{aim.words}, s after the order": _after(running, aim)
            for aim in asked
            if aim not in missing
        },
        "notChecked": [f"{aim.words}: {aim.why_not}" for aim in aims if aim not in asked],
        "message": _message(running, missing),
    }


def _message(running: RunningDrill, missing: list[Aim]) -> str:
    if missing:
        failures = "; ".join(f"{a.words}: not within {a.within:g} s: {a.why_not}" for a in missing)
        return f"failed: {failures}"
    took = instant(running.cancelled_at or "") - instant(running.started_at)
    page = " and the alert delivered" if running.delivered_at else ""
    return f"engaged and everything cancelled {took:.1f} s after the order{page}; reset it by name"


def _after(running: RunningDrill, aim: Aim) -> float:
    return round(instant(getattr(running, aim.field)) - instant(running.started_at), 1)


def _aims(view: RunnerContext, running: RunningDrill) -> Iterator[Aim]:
    yield from _of_process(view)
    yield _shown(view, running)
    yield from _paged(view, running)


def _of_process(view: RunnerContext) -> Iterator[Aim]:
    process = view.seen.process
    engaged = process is not None and process.kill_switch
    left = process.open_orders + process.unknown_orders if process else 0
    takes = process.open_venues if process else ()
    silent = "the process gives no answer" if process is None else ""
    yield Aim(
        "engaged_at",
        "the kill switch is engaged",
        engaged,
        silent or "the process says that it is not",
    )
    yield Aim(
        "cancelled_at",
        "nothing is left at the venues",
        engaged and left == 0,
        silent or f"{left} orders are left",
    )
    yield Aim(
        "closed_at",
        "every connector is closed to new orders",
        engaged and takes == (),
        silent or (f"open: {', '.join(takes)}" if takes else "this release does not tell"),
        asked=takes is not None,
    )


def _shown(view: RunnerContext, running: RunningDrill) -> Aim:
    metric = view.seen.metric
    asked = metric is not None
    scrape = seconds(view.runner.spec.monitoring.scrape_interval)
    return Aim(
        "shown_at",
        "the metric of the kill switch moves",
        _is_newer(metric, instant(running.started_at)),
        _unseen(metric),
        within=PROCESS + _SCRAPES * scrape,
        asked=asked,
    )


def _is_newer(metric: MetricView | None, started: float) -> bool:
    return metric is not None and metric.engaged_at is not None and metric.engaged_at >= started


def _unseen(metric: MetricView | None) -> str:
    if metric is None:
        return "no Prometheus is known"
    return metric.problem or "Prometheus has no sample that says so"


def _paged(view: RunnerContext, running: RunningDrill) -> Iterator[Aim]:
    spec, alert = view.runner.spec.kill_switch_drill, view.seen.alert
    wanted = spec.alert if spec else None
    if wanted is None:
        why = "spec.killSwitchDrill.alert names no Alertmanager"
        yield Aim("delivered_at", "the alert is delivered", False, why, asked=False)
        return
    within = seconds(wanted.within)
    unrouted = _unrouted(alert, wanted)
    yield Aim(
        "alerted_at",
        f"the alert {KILL_SWITCH_ALERT} goes to {wanted.receiver}",
        not unrouted,
        unrouted,
        within=within,
    )
    untaken = _untaken(alert, running, wanted)
    routed = running.alerted_at is not None
    yield Aim(
        "delivered_at",
        f"{wanted.receiver} takes its notification by {wanted.integration}",
        routed and not untaken,
        untaken or "no alert was routed to it",
        within=within,
    )


def _unrouted(alert: AlertView | None, wanted: DrillAlert) -> str:
    """Why nobody would be paged; "" when the alert is on its way."""
    if alert is None:
        return "Alertmanager was not asked"
    if alert.problem:
        return alert.problem
    if alert.silenced:
        return "it is silenced or inhibited: end the silence"
    if wanted.receiver not in alert.receivers:
        others = ", ".join(alert.receivers)
        return f"it goes to {others}" if others else "Alertmanager has no such alert"
    return ""


def _untaken(alert: AlertView | None, running: RunningDrill, wanted: DrillAlert) -> str:
    """Why no page counts as delivered; "" when one was taken since the order."""
    if running.taken_before is None:
        return "Alertmanager did not tell before the order what it had delivered"
    if alert is None or alert.problem:
        return alert.problem if alert else "Alertmanager was not asked"
    # It counts from 0 again when it was restarted.
    before = running.taken_before if alert.taken >= running.taken_before else 0
    if alert.taken > before:
        return ""
    return f"{alert.refused} were refused or lost so far, none was taken since the order"
