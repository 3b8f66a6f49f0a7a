"""The end of a runner: it stops trading cleanly before its object may go."""

from __future__ import annotations

from tradepulse_operator.api.runner import CLEAN_STOP
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.controllers.step import Apply, Delete, Replace, SetFinalizers, Step, Wait

from .children import desired, pod_ref
from .context import RunnerContext, runner_ref
from .diff import deleting
from .status import report


def ensure_finalizer(view: RunnerContext) -> Step | None:
    """Put the finalizer on, before anything exists that would have to be stopped."""
    meta = view.runner.metadata
    if view.deleting or CLEAN_STOP in meta.finalizers:
        return None
    return SetFinalizers(
        runner_ref(view.runner), meta.resource_version, (*meta.finalizers, CLEAN_STOP)
    )


def finalize(view: RunnerContext) -> Step | None:
    """Scale to zero, wait until the pod is gone, then remove the finalizer."""
    meta = view.runner.metadata
    if not view.deleting:
        return None
    if CLEAN_STOP not in meta.finalizers:
        return Wait("waits for the other finalizers of the deleted runner")
    return _stop(view) or report(view) or _remove_finalizer(view)


def _stop(view: RunnerContext) -> Step | None:
    live, pod = view.stateful_set, view.pod
    if live is not None and not deleting(live) and live["spec"].get("replicas", 1) != 0:
        return _scale_down(view, live)
    if live is None and pod is not None and not pod.deleting:
        # Its StatefulSet was deleted without it: nobody else stops it.
        return Delete(pod_ref(view), pod.uid)
    return None


def _scale_down(view: RunnerContext, live: Manifest) -> Step:
    """By apply where the release is known; a StatefulSet of unknown making is scaled as it is."""
    for manifest in desired(view):
        if manifest["kind"] == "StatefulSet":
            return Apply(manifest)
    return Replace({**live, "spec": {**live["spec"], "replicas": 0}})


def _remove_finalizer(view: RunnerContext) -> Step:
    if view.pod is not None:
        return Wait("the pod cancels its orders and stops", 2)
    meta = view.runner.metadata
    left = tuple(item for item in meta.finalizers if item != CLEAN_STOP)
    return SetFinalizers(runner_ref(view.runner), meta.resource_version, left)
