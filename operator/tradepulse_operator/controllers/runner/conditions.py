"""The conditions of a runner, a function each.

Ready, TradingEnabled, KillSwitch, ReleaseDrift and Monitored are always there, BackupsStored where
there is an object store, AuditStored where there is a database, EventsPublished where there is an
event bus, AuditForwarded where there is a SIEM, DrillCurrent where drills are scheduled.
Reconciling, Stalled and ImageMoved are there only while True, and the first two never together
(kstatus).
"""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.reasons import ConditionType, RunnerReason
from tradepulse_operator.api.runner_status import RunnerPhase
from tradepulse_operator.api.spec.cutover import CutoverMode
from tradepulse_operator.controllers.conditions import (
    Conditions,
    drop_condition,
    find_condition,
    is_true,
    set_condition,
)
from tradepulse_operator.controllers.drill import drill

from .context import RunnerContext
from .faults import fault, rejected, unstartable
from .release import manually_diverged

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True)
class Content:
    """Content of a condition. `reason`: of `api.reasons`, or a phase's name."""

    status: ConditionStatus
    reason: str
    message: str


def phase(view: RunnerContext) -> RunnerPhase:
    """The summary for people."""
    if view.deleting:
        return RunnerPhase.STOPPING
    if view.halted:
        return RunnerPhase.HALTED
    if view.status.active_release is None:
        return _before_first_start(view)
    if view.runner.spec.suspend:
        return RunnerPhase.SUSPENDED if view.pod is None else RunnerPhase.STOPPING
    if view.status.cutover is not None:
        return RunnerPhase.CUTTING_OVER
    return _running(view)


def _before_first_start(view: RunnerContext) -> RunnerPhase:
    if view.runner.spec.suspend:
        return RunnerPhase.SUSPENDED
    return RunnerPhase.STALLED if fault(view) else RunnerPhase.PENDING


def _running(view: RunnerContext) -> RunnerPhase:
    if trades(view):
        return RunnerPhase.TRADING
    if process_halted(view):
        return RunnerPhase.HALTED
    return RunnerPhase.STALLED if unstartable(view) else RunnerPhase.STARTING


def trades(view: RunnerContext) -> bool:
    """Whether its pod is ready, and its process doesn't report another state than TRADING."""
    pod, process = view.own_pod, view.observed.process
    # The pod is ready only while it trades; a status request that failed must not count as a halt.
    return pod is not None and pod.ready and (process is None or process.state == "TRADING")


def process_halted(view: RunnerContext) -> bool:
    """Whether the process runs but doesn't trade."""
    process = view.observed.process
    if process is None:
        return False
    return process.state == "HALTED" or process.kill_switch


def ready(view: RunnerContext) -> Content:
    """Whether the release that should run does, and trades."""
    if trades(view):
        return Content(TRUE, RunnerPhase.TRADING, _WHY[RunnerPhase.TRADING])
    problem = fault(view)
    if problem and phase(view) in (RunnerPhase.STALLED, RunnerPhase.HALTED):
        return Content(FALSE, problem.reason, problem.message)
    pod = view.own_pod
    if pod is not None and pod.waiting:
        return Content(FALSE, pod.waiting, f"the pod can't proceed: {pod.waiting}")
    return Content(FALSE, phase(view), _WHY[phase(view)])


_WHY = {
    RunnerPhase.PENDING: "waiting for its first start",
    RunnerPhase.STARTING: "the pod is starting or reconciling with the venues",
    RunnerPhase.TRADING: "the runner trades",
    RunnerPhase.CUTTING_OVER: "a cutover is in progress",
    RunnerPhase.HALTED: "the process runs but doesn't trade",
    RunnerPhase.SUSPENDED: "suspended by spec.suspend",
    RunnerPhase.STOPPING: "cancelling orders and stopping",
    RunnerPhase.STALLED: "a person must decide",
}


def trading_enabled(view: RunnerContext) -> Content:
    """Whether orders may leave it now."""
    if trades(view):
        return Content(TRUE, RunnerPhase.TRADING, "orders may leave the runner")
    switch = kill_switch(view)
    if switch.status is TRUE:
        return Content(FALSE, RunnerReason.KILL_SWITCH, switch.message)
    return Content(FALSE, phase(view), f"no order leaves the runner: {_WHY[phase(view)]}")


def kill_switch(view: RunnerContext) -> Content:
    """Whether it is engaged: by the operator, or latched in the process, which alone resets it."""
    process, requested = view.observed.process, view.run.kill_switch if view.run else ""
    if process is not None and process.kill_switch:
        return Content(
            TRUE, RunnerReason.LATCHED, process.kill_switch_reason or "latched in the process"
        )
    if requested:
        return Content(TRUE, RunnerReason.ENGAGED, requested)
    before = find_condition(view.status.conditions, ConditionType.KILL_SWITCH)
    if process is None and before is not None and before.status is TRUE:
        # The latch is on disk: a process that doesn't answer hasn't reset it.
        return Content(TRUE, before.reason, before.message)
    return Content(FALSE, RunnerReason.RELEASED, "the kill switch is not engaged")


def release_drift(view: RunnerContext) -> Content:
    """Whether the spec means another release than the one that is active."""
    if view.wanted is None or view.status.active_release is None:
        why = view.problem.reason if view.problem else RunnerReason.NOT_STARTED
        return Content(UNKNOWN, why, "no release of the spec to compare with yet")
    image = view.wanted.release.image
    if not view.drifted:
        return Content(FALSE, RunnerReason.AS_WANTED, "the active release is the one of the spec")
    if view.status.cutover is not None:
        reason = RunnerReason.CUTOVER_HALTED if view.halted else RunnerPhase.CUTTING_OVER
        return Content(TRUE, reason, f"{view.status.cutover} decides")
    refused = rejected(view)
    if refused:
        return Content(TRUE, refused.reason, refused.message)
    reason, message = _drift_reason(view)
    return Content(TRUE, reason, f"the spec means {image}: {message}")


def _drift_reason(view: RunnerContext) -> tuple[RunnerReason | RunnerPhase, str]:
    if manually_diverged(view):
        return (
            RunnerReason.MOVED_BY_HAND,
            "a manual cutover changed the active release; write the running release to the spec",
        )
    if view.runner.spec.suspend:
        return RunnerPhase.SUSPENDED, "it is cut over to when the runner is resumed"
    if view.runner.spec.cutover.mode is CutoverMode.MANUAL:
        return RunnerReason.MANUAL, "create a ReleaseCutover to switch to it"
    ended = view.named(view.stamp or "")
    if ended is not None:
        return (
            RunnerReason.CUTOVER_ENDED,
            f"{view.stamp} ended without promoting it; delete it to try again",
        )
    return RunnerReason.CUTOVER_PENDING, "a cutover is about to start"


def monitored(view: RunnerContext) -> Content:
    """Whether Prometheus can find it; without that a cutover has no evidence to go on."""
    if "ServiceMonitor" in view.observed.unserved:
        message = "this cluster has no ServiceMonitor: install the Prometheus operator"
        return Content(FALSE, RunnerReason.SERVICE_MONITOR_MISSING, message)
    return Content(
        TRUE, RunnerReason.SERVICE_MONITOR, "a ServiceMonitor makes Prometheus scrape it"
    )


def reconciling(view: RunnerContext) -> Content | None:
    """Whether something is under way that ends by itself."""
    if view.cutting_over or (view.status.cutover is not None and not view.halted):
        return Content(TRUE, RunnerPhase.CUTTING_OVER, f"{view.status.cutover} is in progress")
    now = phase(view)
    if now in (RunnerPhase.PENDING, RunnerPhase.STARTING, RunnerPhase.STOPPING):
        return Content(TRUE, now, _WHY[now])
    return None


def image_moved(view: RunnerContext) -> Content | None:
    """Whether the tag of the active release names another digest than when it became active."""
    active, pod = view.status.active_release, view.pod
    if active is None or pod is None or pod.release != active.id:
        return None
    if not pod.image_id or not active.image_id or pod.image_id == active.image_id:
        return None
    return Content(
        TRUE,
        RunnerReason.IMAGE_CHANGED,
        f"{active.image} is now {pod.image_id}, it was {active.image_id}: write digests, tags move",
    )


def backups_stored(view: RunnerContext) -> Content | None:
    """Whether the object store, if there is one, has every backup and report."""
    if view.runner.spec.state.backups.object_store is None:
        return None
    process = view.observed.process
    problem = process.store_problem if process else None
    fine = "the object store has every backup and report of the volume"
    return _stored(view, ConditionType.BACKUPS_STORED, problem, fine)


def audit_stored(view: RunnerContext) -> Content | None:
    """Whether the database, if there is one, takes the audit trail."""
    if view.runner.spec.database is None:
        return None
    process = view.observed.process
    problem = process.database_problem if process else None
    return _stored(view, ConditionType.AUDIT_STORED, problem, "the database takes every record")


def events_published(view: RunnerContext) -> Content | None:
    """Whether the brokers, if there are any, take every event."""
    if view.runner.spec.event_bus is None:
        return None
    process = view.observed.process
    problem = process.bus_problem if process else None
    fine = "the brokers take every event"
    return _stored(view, ConditionType.EVENTS_PUBLISHED, problem, fine, RunnerReason.PUBLISHED)


def _stored(
    view: RunnerContext,
    kind: ConditionType,
    problem: str | None,
    fine: str,
    reason: RunnerReason = RunnerReason.STORED,
) -> Content:
    """The condition of an optional service by the process's report; unchanged without one."""
    if problem is None:
        before = find_condition(view.status.conditions, kind)
        if before is None:
            return Content(
                UNKNOWN,
                RunnerReason.STATUS_UNAVAILABLE,
                "the runner's status has not been read yet",
            )
        return Content(before.status, before.reason, before.message)
    return Content(FALSE, RunnerReason.BEHIND, problem) if problem else Content(TRUE, reason, fine)


def audit_forwarded(view: RunnerContext) -> Content | None:
    """Whether the SIEM, if there is one, takes the audit trail."""
    admin = view.runner.spec.admin
    if admin is None or admin.siem is None:
        return None
    process = view.observed.process
    problem = process.siem_problem if process else None
    fine = "the SIEM takes the audit trail"
    return _stored(view, ConditionType.AUDIT_FORWARDED, problem, fine, RunnerReason.FORWARDED)


def conditions(view: RunnerContext) -> Conditions:
    """All conditions, as they are to be written."""
    result = view.status.conditions
    for kind, content in (
        (ConditionType.READY, ready(view)),
        (ConditionType.TRADING_ENABLED, trading_enabled(view)),
        (ConditionType.KILL_SWITCH, kill_switch(view)),
        (ConditionType.RELEASE_DRIFT, release_drift(view)),
        (ConditionType.MONITORED, monitored(view)),
    ):
        result = _set(view, result, kind, content)
    result = _while_true(view, result, ConditionType.BACKUPS_STORED, backups_stored(view))
    result = _while_true(view, result, ConditionType.AUDIT_STORED, audit_stored(view))
    result = _while_true(view, result, ConditionType.EVENTS_PUBLISHED, events_published(view))
    result = _while_true(view, result, ConditionType.AUDIT_FORWARDED, audit_forwarded(view))
    broken = fault(view)
    stalled = (
        Content(TRUE, broken.reason, broken.message) if broken and not view.cutting_over else None
    )
    result = _while_true(view, result, ConditionType.STALLED, stalled)
    busy = None if is_true(result, ConditionType.STALLED) else reconciling(view)
    result = _while_true(view, result, ConditionType.RECONCILING, busy)
    drills = drill.current(view)
    result = _while_true(
        view, result, ConditionType.DRILL_CURRENT, Content(*drills) if drills else None
    )
    return _while_true(view, result, ConditionType.IMAGE_MOVED, image_moved(view))


def _while_true(
    view: RunnerContext, conditions: Conditions, kind: ConditionType, content: Content | None
) -> Conditions:
    return _set(view, conditions, kind, content) if content else drop_condition(conditions, kind)


def _set(
    view: RunnerContext, conditions: Conditions, kind: ConditionType, content: Content
) -> Conditions:
    return set_condition(
        conditions,
        kind,
        content.status,
        content.reason,
        content.message,
        now=view.observed.now,
        generation=view.runner.metadata.generation,
    )
