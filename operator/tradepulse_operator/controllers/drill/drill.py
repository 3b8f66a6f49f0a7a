"""Scheduled drills of the kill switch: at most one at a time, none lost, none made up for twice.

What is due follows from the schedule, from when it was first observed and from the last drill; a
drill is in the status before it starts. So an operator may be restarted at any time, and one that
was down makes up for one drill, however many it missed.

    due → running (status) → pod → report → last drill (status) → pod deleted → not running (status)

A live drill has no pod: the order to engage the kill switch is part of the desired run while it
lasts, see `desired_run`; its report is made of what the process reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.reasons import ConditionType, RunnerReason
from tradepulse_operator.api.spec.drill import (
    DrillResult,
    DrillStatus,
    DrillTarget,
    KillSwitchDrill,
    LastDrill,
    RunningDrill,
)
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.names import LABEL_DRILL, drill_name
from tradepulse_operator.common.objects import Manifest, Ref
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.conditions import is_true
from tradepulse_operator.controllers.observed.views import DrillPodView
from tradepulse_operator.controllers.runner.context import RunnerContext
from tradepulse_operator.controllers.runner.diff import deleting
from tradepulse_operator.controllers.step import Apply, Delete, Step
from tradepulse_operator.resources.auxiliary.drill import LONGEST, drill_pod, drill_report, read

from .live import marked, verdict
from .schedule import coming, missed

#: Seconds that a pod may take to be scheduled and to pull its image, in addition to the drill.
_START = 300.0
#: Seconds that a report may fail to be filed before the drill is recorded without it.
_FILING = 300.0
#: Seconds after which a live drill is no longer made up for: trading must not stop at odd hours.
_LIVE_GRACE = 900.0
#: Reports kept.
KEPT = 10
#: Seconds to the next reconciliation of a blocked drill, and of a running one.
_BLOCKED, _SOON = 30.0, 2.0


@dataclass(frozen=True)
class Outcome:
    """The result of a drill, as JSON values (`resources.auxiliary.drill.read`)."""

    content: dict[str, Any]

    @property
    def result(self) -> DrillResult:
        """Passed or not."""
        return DrillResult.PASSED if self.content["passed"] else DrillResult.FAILED


# -- the status ----------------------------------------------------------------------------------


def progress(view: RunnerContext) -> dict[str, Any]:
    """Changes of the status: a drill that begins, one that ended, and when the next is due."""
    drill, spec = view.status.drill, view.runner.spec.kill_switch_drill
    if drill is not None and drill.running is not None:
        return _go_on(view, drill, drill.running)
    if spec is None or spec.suspend:
        return {"drill": None}
    if drill is None or drill.schedule != spec.schedule:
        now = timestamp(view.observed.now)
        after = coming(spec.schedule, view.observed.now)
        fresh = DrillStatus(schedule=spec.schedule, since=now, next=timestamp(after))
        return {"drill": fresh}
    after = _after(view, drill)
    running = _begin(view, spec, after)
    changes = {"next": timestamp(coming(spec.schedule, after)), "running": running}
    return {"drill": drill.model_copy(update=changes)}


def _after(view: RunnerContext, drill: DrillStatus) -> float:
    """The moment after which the schedule counts."""
    last = view.status.last_drill
    since = instant(drill.since)
    return max(since, instant(last.scheduled_for)) if last else since


def _begin(view: RunnerContext, spec: KillSwitchDrill, after: float) -> RunningDrill | None:
    now, active = view.observed.now, view.status.active_release
    due = missed(spec.schedule, after, now)
    if due is None or active is None or _blocked(view, spec.target):
        return None
    if spec.target is DrillTarget.LIVE and now - due > _LIVE_GRACE:
        return None
    alert = view.observed.alert
    return RunningDrill(
        scheduled_for=timestamp(due),
        started_at=timestamp(now),
        target=spec.target,
        release=active.id,
        taken_before=None if alert is None or alert.problem else alert.taken,
    )


def _blocked(view: RunnerContext, target: DrillTarget) -> str:
    """Why no drill begins now, although one is due; "" when one may."""
    if view.deleting or view.runner.spec.suspend:
        return "the runner is suspended or being deleted"
    if view.status.cutover is not None or view.cutting_over:
        return "a cutover is in progress"
    process = view.observed.process
    latched = process is not None and process.kill_switch
    if (
        latched
        or is_true(view.status.conditions, ConditionType.KILL_SWITCH)
        or view.runner.spec.kill_switch.engaged
    ):
        return "the kill switch is engaged"
    active = view.status.active_release
    if active is None or active.config_hash not in view.configs:
        return "no release is active"
    pod = view.own_pod
    if target is DrillTarget.LIVE and (process is None or pod is None or not pod.ready):
        return "the runner doesn't trade"
    return ""


def _go_on(view: RunnerContext, drill: DrillStatus, running: RunningDrill) -> dict[str, Any]:
    if recorded(view, running):
        return {} if _pod(view, running) else {"drill": _rested(view, drill)}
    live = running.target is DrillTarget.LIVE
    # What a report says must not change any more.
    now = marked(view, running) if live and _report(view, running) is None else running
    if now != running:
        return {"drill": drill.model_copy(update={"running": now})}
    outcome = _ENDS[running.target](view, running)
    if outcome is None or not _filed(view, running, outcome):
        return {}
    last = _record(view, running, outcome)
    if live:
        return {"last_drill": last, "drill": drill.model_copy(update={"running": None})}
    return {"last_drill": last}


def _rested(view: RunnerContext, drill: DrillStatus) -> DrillStatus:
    after = coming(drill.schedule, _after(view, drill))
    return drill.model_copy(update={"running": None, "next": timestamp(after)})


def recorded(view: RunnerContext, running: RunningDrill) -> bool:
    """Whether its outcome is in the status."""
    last = view.status.last_drill
    return last is not None and last.scheduled_for == running.scheduled_for


def _record(view: RunnerContext, running: RunningDrill, outcome: Outcome) -> LastDrill:
    now, before = timestamp(view.observed.now), view.status.last_drill
    passed = outcome.result is DrillResult.PASSED
    return LastDrill(
        at=now,
        scheduled_for=running.scheduled_for,
        target=running.target,
        result=outcome.result,
        release=running.release,
        report=_name(view, running) if _report(view, running) else None,
        message=outcome.content["message"],
        passed_at=now if passed else before.passed_at if before else None,
    )


# -- how a drill ends ----------------------------------------------------------------------------


def _rehearsed(view: RunnerContext, running: RunningDrill) -> Outcome | None:
    pod = _pod(view, running)
    if pod is not None and pod.phase in ("Succeeded", "Failed"):
        return Outcome(read(pod.exit_code, pod.message))
    if _age(view, running) > _START + LONGEST:
        why = f": {pod.waiting}" if pod and pod.waiting else ""
        return Outcome(_failure(f"the drill's pod did not end in time{why}"))
    return None


def _live(view: RunnerContext, running: RunningDrill) -> Outcome | None:
    process = view.observed.process
    engaged = process is not None and process.kill_switch
    if process is not None and engaged and running.scheduled_for not in process.kill_switch_reason:
        other = process.kill_switch_reason
        return Outcome(_failure(f"something else engaged the kill switch: {other}"))
    outcome = verdict(view, running)
    return None if outcome is None else Outcome(outcome)


_ENDS: dict[DrillTarget, Callable[[RunnerContext, RunningDrill], Outcome | None]] = {
    DrillTarget.REHEARSAL: _rehearsed,
    DrillTarget.LIVE: _live,
}


def _failure(message: str) -> dict[str, Any]:
    return {"passed": False, "checks": [], "measures": {}, "message": message}


def _filed(view: RunnerContext, running: RunningDrill, outcome: Outcome) -> bool:
    """Whether the outcome may be recorded: with its report, or without when that can't be filed."""
    overdue = _age(view, running) > _START + LONGEST + _FILING
    return overdue or _report(view, running) is not None


def _age(view: RunnerContext, running: RunningDrill) -> float:
    return view.observed.now - instant(running.started_at)


def _name(view: RunnerContext, running: RunningDrill) -> str:
    return drill_name(view.runner.metadata.name, running.scheduled_for)


def _pod(view: RunnerContext, running: RunningDrill) -> DrillPodView | None:
    name = _name(view, running)
    return next((pod for pod in view.observed.drills if pod.name == name), None)


def _report(view: RunnerContext, running: RunningDrill) -> Manifest | None:
    return view.child("v1", "ConfigMap", _name(view, running))


# -- requests ----------------------------------------------------------------------------------


def drill(view: RunnerContext) -> Step | None:
    """The next request of the running drill; else the deletion of what others left."""
    status = view.status.drill
    running = status.running if status else None
    if running is not None:
        step = _advance(view, running)
        if step is not None:
            return step
    return _prune(view, running)


def _advance(view: RunnerContext, running: RunningDrill) -> Step | None:
    if recorded(view, running):
        return None
    outcome = _ENDS[running.target](view, running)
    if outcome is not None:
        if _report(view, running) is not None:
            return None
        return Apply(drill_report(view.runner, running, outcome.content))
    active = view.status.active_release
    if running.target is DrillTarget.LIVE or _pod(view, running) is not None or active is None:
        return None
    return Apply(drill_pod(view.runner, running, active)) if active.id == running.release else None


def _prune(view: RunnerContext, running: RunningDrill | None) -> Step | None:
    """Pods of drills that are recorded, and reports beyond those that are kept."""
    meta = view.runner.metadata
    kept = _name(view, running) if running and not recorded(view, running) else ""
    for pod in view.observed.drills:
        if pod.name != kept and not pod.deleting:
            return Delete(Ref("v1", "Pod", meta.namespace, pod.name), pod.uid)
    reports = [
        (ref, live)
        for ref, live in view.observed.children.items()
        if ref.kind == "ConfigMap" and LABEL_DRILL in (live["metadata"].get("labels") or {})
    ]
    for ref, live in sorted(reports, key=lambda item: item[0].name)[:-KEPT]:
        if not deleting(live):
            return Delete(ref, live["metadata"]["uid"])
    return None


def pause(view: RunnerContext) -> float | None:
    """Seconds until time alone requires a reconciliation for drills; None: it doesn't."""
    status, spec = view.status.drill, view.runner.spec.kill_switch_drill
    if status is None:
        return None
    if status.running is not None:
        return _SOON
    due = instant(status.next) - view.observed.now
    waits = [due if due > 0 else _BLOCKED]
    last = view.status.last_drill
    if spec is not None and spec.max_age and last is not None and last.passed_at:
        old = instant(last.passed_at) + seconds(spec.max_age) - view.observed.now
        waits += [old] if old > 0 else []
    return min(waits)


# -- the condition -------------------------------------------------------------------------------


def current(view: RunnerContext) -> tuple[ConditionStatus, RunnerReason, str] | None:
    """Content of the condition DrillCurrent; None where no drills are scheduled."""
    spec, last, status = (
        view.runner.spec.kill_switch_drill,
        view.status.last_drill,
        view.status.drill,
    )
    if spec is None:
        return None
    if last is not None and last.result is DrillResult.FAILED:
        return (
            ConditionStatus.FALSE,
            RunnerReason.DRILL_FAILED,
            f"the last drill failed: {last.message}",
        )
    since = last.passed_at if last else status.since if status else None
    if spec.max_age and since and view.observed.now - instant(since) > seconds(spec.max_age):
        return (
            ConditionStatus.FALSE,
            RunnerReason.DRILL_TOO_OLD,
            f"no drill passed in the last {spec.max_age}",
        )
    if last is None:
        return ConditionStatus.UNKNOWN, RunnerReason.NO_DRILL_YET, "no drill has come due yet"
    return ConditionStatus.TRUE, RunnerReason.DRILL_PASSED, f"the last drill passed: {last.message}"
