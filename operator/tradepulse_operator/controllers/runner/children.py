"""The children: kept as desired, one request a time; and the halt and kill-switch orders."""

from __future__ import annotations

from collections.abc import Iterator

from tradepulse_operator.common.names import (
    ANNOTATION_KILL_SWITCH,
    LABEL_CONFIG_HASH,
    pod_name,
    pvc_name,
)
from tradepulse_operator.common.objects import Manifest, Ref, ref_of
from tradepulse_operator.controllers.step import Annotate, Delete, Step
from tradepulse_operator.resources.runner.children import children
from tradepulse_operator.resources.runner.stateful_set import orders

from .context import RunnerContext
from .diff import deleting, is_controller, repair, taken
from .faults import state_lost, unstartable


def enforce_halt(view: RunnerContext) -> Step | None:
    """Halt the pod, or engage its kill switch, before anything else is reconciled.

    The kill switch goes on any pod; a halt is for the release that it was decided for.
    """
    pod, run = view.pod, view.run
    if pod is None or run is None or pod.deleting:
        return None
    wanted = {key: value for key, value in orders(run).items() if value}
    if pod.release != run.release.id:
        wanted = {key: value for key, value in wanted.items() if key == ANNOTATION_KILL_SWITCH}
    return _annotate(view, pod.uid, wanted)


def lift_halt(view: RunnerContext) -> Step | None:
    """Lift the halt: only of a pod of the desired release, and once its template is right."""
    pod, run = view.own_pod, view.run
    if pod is None or run is None:
        return None
    return _annotate(view, pod.uid, orders(run))


def _annotate(view: RunnerContext, uid: str, wanted: dict[str, str]) -> Step | None:
    live = view.pod.annotations if view.pod else {}
    changed: dict[str, str | None] = {k: v for k, v in wanted.items() if live.get(k, "") != v}
    return Annotate(pod_ref(view), uid, changed) if changed else None


def pod_ref(view: RunnerContext) -> Ref:
    """Reference of the runner's pod."""
    meta = view.runner.metadata
    return Ref("v1", "Pod", meta.namespace, pod_name(meta.name))


def desired(view: RunnerContext) -> tuple[Manifest, ...]:
    """The desired children; empty before the first start."""
    if view.run is None:
        return ()
    return children(view.runner, view.run, view.configs, view.claim)


def apply_children(view: RunnerContext) -> Step | None:
    """Repair the first child that the pod needs."""
    return next(_repairs(view, auxiliary=False), None)


def apply_optional_children(view: RunnerContext) -> Step | None:
    """Repair what the pod can do without: a failure here must not delay anything else."""
    return next(_repairs(view, auxiliary=True), None)


def _repairs(view: RunnerContext, *, auxiliary: bool) -> Iterator[Step]:
    lost = state_lost(view) is not None
    for manifest in desired(view):
        ref = ref_of(manifest)
        live = view.observed.children.get(ref)
        if ref.kind in view.observed.unserved or _is_auxiliary(ref, live) is not auxiliary:
            continue
        if live is not None and taken(live, view.runner.metadata):
            continue
        if lost and ref.name == pvc_name(view.runner.metadata.name):
            continue
        step = repair(live, manifest)
        if step is not None:
            yield step


def _is_auxiliary(ref: Ref, live: Manifest | None) -> bool:
    """A claim that exists can at most be grown, which its driver may refuse."""
    return ref.kind == "ServiceMonitor" or (
        ref.kind == "PersistentVolumeClaim" and live is not None
    )


def delete_outdated_pod(view: RunnerContext) -> Step | None:
    """Delete a pod that isn't what the StatefulSet would start now.

    Not while the desired run keeps it, even if it is stuck: a failed release's pod is its evidence.
    """
    pod, run = view.pod, view.run
    if pod is None or run is None or pod.deleting or run.replicas == 0 or not run.replace:
        return None
    if unstartable(view) or not template_observed(view):
        return None
    if pod.release != run.release.id or _stuck_on_old_template(view):
        return Delete(pod_ref(view), pod.uid)
    return None


def template_observed(view: RunnerContext) -> bool:
    """Whether the StatefulSet's controller has observed the template; until then it starts the
    old one."""
    live = view.stateful_set
    if live is None:
        return False
    observed = (live.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= live["metadata"].get("generation", 0))


def _stuck_on_old_template(view: RunnerContext) -> bool:
    """Whether a pod of the right release can't proceed and a newer template waits for it.

    Under OnDelete nobody else replaces it (kubernetes#67250).
    """
    pod, live = view.own_pod, view.stateful_set
    if pod is None or live is None or not pod.waiting or pod.ready:
        return False
    status = live.get("status") or {}
    return bool(status.get("replicas") == 1 and not status.get("updatedReplicas"))


def old_configs(view: RunnerContext) -> Iterator[tuple[Ref, Manifest]]:
    """The runner's own versioned ConfigMaps that live, with their references."""
    for ref, live in view.observed.children.items():
        meta = live["metadata"]
        owners = [r["uid"] for r in meta.get("ownerReferences") or [] if is_controller(r)]
        mine = owners == [view.runner.metadata.uid]
        versioned = LABEL_CONFIG_HASH in (meta.get("labels") or {})
        if ref.kind == "ConfigMap" and mine and versioned and not deleting(live):
            yield ref, live
