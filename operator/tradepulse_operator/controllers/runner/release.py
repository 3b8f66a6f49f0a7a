"""The active release: the first start, the claim of a cutover, and its result.

Each step persists what it decides before any child changes.
"""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.phases import End, current, final
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner_status import HistoryEntry, RejectedRelease, TradingRunnerStatus
from tradepulse_operator.api.spec.cutover import CutoverMode
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.step import Apply, Step
from tradepulse_operator.resources.cutover import automatic_cutover, is_automatic

from .context import RunnerContext
from .faults import fault

#: Entries kept of history and of rejected releases; the status is one object in etcd.
KEPT = 10


def record_result(view: RunnerContext) -> Step | None:
    """Record how the claimed cutover ended. One that ended Halted stays claimed."""
    cutover = view.cutover
    if cutover is None or not final(cutover.status):
        return None
    facts = current(cutover.status)
    changes: dict[str, Any] = {}
    if not view.halted:
        changes["cutover"] = None
    if facts.end is End.GOOD and cutover.status.target:
        changes |= _promoted(view, cutover, cutover.status.target)
    elif facts.touched and cutover.status.target:
        changes |= _refused(view, cutover, cutover.status.target)
    return view.write(view.status.model_copy(update=changes))


def _promoted(view: RunnerContext, cutover: ReleaseCutover, target: Release) -> dict[str, Any]:
    status, name = view.status, cutover.metadata.name
    since = cutover.status.finished_at or timestamp(view.observed.now)
    entry = HistoryEntry(release=target, since=since, cutover=name)
    changes: dict[str, Any] = {
        "active_release": target,
        "history": (entry, *status.history)[:KEPT],
        "rejected_releases": tuple(
            item for item in status.rejected_releases if item.release.id != target.id
        ),
    }
    if is_automatic(cutover, view.runner):
        # Spec and active release agreed on it, even where the spec has changed since: the new
        # release must not count as one that a manual cutover replaced.
        changes["agreed_release"] = target.id
    if status.active_release and status.active_release.id != target.id:
        changes["previous_release"] = status.active_release
    return changes


def _refused(view: RunnerContext, cutover: ReleaseCutover, target: Release) -> dict[str, Any]:
    status, name, rollback = view.status, cutover.metadata.name, cutover.status.rollback
    if any(item.cutover == name and item.release == target for item in status.rejected_releases):
        return {}
    entry = RejectedRelease(
        release=target,
        cutover=name,
        reason=rollback.reason if rollback else CutoverPhase.ROLLED_BACK,
        at=cutover.status.finished_at or timestamp(view.observed.now),
    )
    others = (item for item in status.rejected_releases if item.release.id != target.id)
    return {"rejected_releases": (entry, *others)[:KEPT]}


def claim(view: RunnerContext) -> Step | None:
    """Claim the oldest waiting cutover, when none is claimed or the claimed one has ended."""
    status = view.status
    if view.cutover is not None and not view.halted:
        return None
    chosen = status.cutover if view.halted else None
    if status.active_release is not None and not view.runner.spec.suspend:
        waiting = (c for c in view.cutovers if not final(c.status) and not _leaving(c))
        chosen = next((c.metadata.name for c in waiting), chosen)
    return view.write(status.model_copy(update={"cutover": chosen}))


def start(view: RunnerContext) -> Step | None:
    """Set the first release. One that never ran may still be corrected in the spec."""
    status = view.status
    if view.wanted is None or view.runner.spec.suspend or status.cutover is not None:
        return None
    wanted, active = view.wanted.release, status.active_release
    if active is not None and (active.id == wanted.id or not _never_ran(view)):
        return None
    entry = HistoryEntry(release=wanted, since=timestamp(view.observed.now))
    changes = {"active_release": wanted, "history": (entry,), "agreed_release": wanted.id}
    return view.write(status.model_copy(update=changes))


def create_cutover(view: RunnerContext) -> Step | None:
    """Create an automatic cutover to the release of the spec."""
    if not view.drifted or view.wanted is None or view.cutover is not None:
        return None
    if view.runner.spec.cutover.mode is not CutoverMode.AUTOMATIC or view.runner.spec.suspend:
        return None
    if manually_diverged(view) or view.named(view.stamp or "") or fault(view):
        return None
    if view.stamp in view.observed.unread_cutovers:
        return None  # it is there already
    return Apply(automatic_cutover(view.runner, view.wanted.release))


def manually_diverged(view: RunnerContext) -> bool:
    """Whether a manual cutover replaced the release that the spec still asks for."""
    return (
        view.drifted
        and view.wanted is not None
        and view.status.agreed_release == view.wanted.release.id
    )


def refresh_active_release(view: RunnerContext, status: TradingRunnerStatus) -> dict[str, Any]:
    """Changes of the status that complete the record of the active release."""
    active = status.active_release
    if active is None:
        return {}
    changes: dict[str, Any] = {}
    pod = view.pod
    if active.image_id is None and pod and pod.release == active.id and pod.image_id:
        active = active.model_copy(update={"image_id": pod.image_id})
    if view.wanted and view.wanted.release.id == active.id:
        changes["agreed_release"] = active.id
        # Names of Secrets aren't part of the identity: they take effect with the next restart.
        wanted = view.wanted.release
        names = {"credentials": wanted.credentials, "secrets": wanted.secrets}
        active = active.model_copy(update=names)
    return {**changes, "active_release": active}


def _leaving(cutover: ReleaseCutover) -> bool:
    return cutover.metadata.deletion_timestamp is not None


def _never_ran(view: RunnerContext) -> bool:
    """Whether no container of the active release was ever made, so that nothing can be lost."""
    status, active, pod = view.status, view.status.active_release, view.pod
    if active is None or status.previous_release or status.writer_epoch is not None:
        return False
    if active.image_id is not None or view.observed.process is not None:
        return False
    return pod is None or (pod.image_id is None and not pod.ready)
