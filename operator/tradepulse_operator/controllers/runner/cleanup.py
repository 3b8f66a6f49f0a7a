"""Garbage collection: finished cutovers and configurations that nothing refers to."""

from __future__ import annotations

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import final
from tradepulse_operator.common.names import API_VERSION
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.controllers.step import Delete, Step

from .children import old_configs
from .context import RunnerContext


def prune_cutovers(view: RunnerContext) -> Step | None:
    """Delete the oldest finished cutover over the limit.

    Only those that the operator created: a manual one may be in Git, which would create it again.
    The one that the present spec would create stays: its existence prevents a second one.
    """
    finished = [item for item in view.cutovers if _finished(view, item)]
    over = len(finished) - view.runner.spec.cutover.history_limit
    if over <= 0:
        return None
    oldest = next((c for c in finished if c.metadata.name != view.stamp), None)
    if oldest is None:
        return None
    meta = oldest.metadata
    ref = Ref(API_VERSION, ReleaseCutover.KIND, meta.namespace, meta.name)
    return Delete(ref, meta.uid)


def _finished(view: RunnerContext, cutover: ReleaseCutover) -> bool:
    meta = cutover.metadata
    return (
        final(cutover.status)
        and meta.name != view.status.cutover
        and meta.deletion_timestamp is None
        and any(owner.uid == view.runner.metadata.uid for owner in meta.owner_references)
    )


def prune_configs(view: RunnerContext) -> Step | None:
    """Delete a versioned ConfigMap that no release in use refers to.

    A cutover that has no target yet may just have applied the ConfigMap of its target.
    """
    open_ones = [c for c in view.cutovers if not final(c.status)]
    if any(cutover.status.target is None for cutover in open_ones) or view.run is None:
        return None
    if view.observed.unread_cutovers:
        return None  # nobody knows what they refer to
    kept = {view.run.release.config_map}
    if view.wanted:
        kept.add(view.wanted.release.config_map)
    in_use = [*open_ones, *([view.cutover] if view.cutover else [])]
    releases = [view.status.active_release, view.status.previous_release]
    releases += [release for c in in_use for release in (c.status.source, c.status.target)]
    kept |= {release.config_map for release in releases if release}
    for ref, live in old_configs(view):
        if ref.name not in kept:
            return Delete(ref, live["metadata"]["uid"])
    return None
