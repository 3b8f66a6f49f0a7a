"""Faults of a runner that only a person can fix."""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.api.reasons import ConfigReason, RunnerReason
from tradepulse_operator.common.names import pvc_name
from tradepulse_operator.common.objects import Ref

from .context import RunnerContext
from .diff import deleting, taken

#: Kinds without which no pod starts.
_NEEDED = frozenset({"StatefulSet", "ConfigMap", "PersistentVolumeClaim", "ServiceAccount"})


@dataclass(frozen=True)
class Fault:
    """Why it can't go on. `message`: what happened and what to do."""

    reason: RunnerReason | ConfigReason
    message: str


def state_lost(view: RunnerContext) -> Fault | None:
    """The volume of the order state is gone although the runner had started.

    An empty one in its place would forget open orders, so a person has to ask for it.
    """
    claim, name = view.claim, pvc_name(view.runner.metadata.name)
    if claim is not None:
        lost = (claim.get("status") or {}).get("phase") == "Lost"
        message = f"the volume of claim {name} is lost: {_REMEDY}"
        return Fault(RunnerReason.STATE_LOST, message) if lost else None
    if not _had_started(view) or _starts_cold(view):
        return None
    return Fault(
        RunnerReason.STATE_LOST, f"claim {name} is gone, and with it the order state: {_REMEDY}"
    )


_REMEDY = (
    "restore the claim from a backup, or set spec.release.coldStart to start from what the venue"
    " knows"
)


def config_lost(view: RunnerContext) -> Fault | None:
    """The configuration of a release in use is gone, and nothing has its text any more."""
    active = view.status.active_release
    used = [release for release in (active, view.run.release if view.run else None) if release]
    gone = sorted({r.config_map for r in used if r.config_hash not in view.configs})
    if not gone:
        return None
    return Fault(
        RunnerReason.CONFIG_LOST,
        f"ConfigMap {', '.join(gone)} is gone and can't be rendered again: restore it, or write the"
        " spec that it came from",
    )


def name_taken(view: RunnerContext) -> Fault | None:
    """An object of another owner has the name of a child."""
    names = ", ".join(sorted(f"{ref.kind} {ref.name}" for ref in _taken(view)))
    if not names:
        return None
    return Fault(RunnerReason.NAME_TAKEN, f"{names} belongs to someone else: rename or remove it")


def _taken(view: RunnerContext) -> list[Ref]:
    meta = view.runner.metadata
    live = view.observed.children.items()
    return [ref for ref, item in live if taken(item, meta) and not deleting(item)]


def rejected(view: RunnerContext) -> Fault | None:
    """The spec asks for a release that was rolled back."""
    if not view.drifted or view.wanted is None:
        return None
    wanted = view.wanted.release
    entry = next((r for r in view.status.rejected_releases if r.release.id == wanted.id), None)
    if entry is None:
        return None
    return Fault(
        RunnerReason.RELEASE_REJECTED,
        f"{wanted.image} was rolled back by {entry.cutover} ({entry.reason}): write another release"
        " to the spec, or create a ReleaseCutover to try it again",
    )


def fault(view: RunnerContext) -> Fault | None:
    """The gravest fault, if there is any."""
    if view.halted and view.cutover:
        return Fault(
            RunnerReason.CUTOVER_HALTED,
            f"{view.cutover.metadata.name} could neither finish nor be rolled back: check the"
            " positions, then delete it or create another ReleaseCutover",
        )
    first = name_taken(view) or state_lost(view) or config_lost(view)
    if first is None and view.problem is not None:
        first = Fault(view.problem.reason, str(view.problem))
    return first or rejected(view)


def unstartable(view: RunnerContext) -> bool:
    """Whether a pod of the intended release could not start: the running one is better kept."""
    needed = any(ref.kind in _NEEDED for ref in _taken(view))
    return bool(needed or state_lost(view) or config_lost(view))


def _had_started(view: RunnerContext) -> bool:
    """Whether the claim must have existed: something that is created after it exists."""
    status, active = view.status, view.status.active_release
    ran = active is not None and (active.image_id is not None or status.writer_epoch is not None)
    return ran or status.previous_release is not None or view.stateful_set is not None


def _starts_cold(view: RunnerContext) -> bool:
    return view.runner.spec.release.cold_start or bool(view.run and view.run.release.cold_start)
