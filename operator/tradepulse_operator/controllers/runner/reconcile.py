"""The TradingRunner reconciler: what a runner needs next.

A chain of small pure steps; the first that has a request decides. Their order is the safety of it:
what stops trading comes first, what starts it comes after everything that it rests on, and what the
pod can do without comes last, so that nothing auxiliary delays a rollback.
"""

from __future__ import annotations

from collections.abc import Callable

from tradepulse_operator.controllers.drill.drill import drill, pause
from tradepulse_operator.controllers.observed.views import RunnerObserved
from tradepulse_operator.controllers.step import Step, Wait

from .children import (
    apply_children,
    apply_optional_children,
    delete_outdated_pod,
    enforce_halt,
    lift_halt,
    template_observed,
)
from .cleanup import prune_configs, prune_cutovers
from .context import RunnerContext, build_context, orders_of
from .diff import deleting
from .finalizer import ensure_finalizer, finalize
from .release import claim, create_cutover, record_result, start
from .status import report

STEPS: tuple[Callable[[RunnerContext], Step | None], ...] = (
    finalize,
    enforce_halt,
    ensure_finalizer,
    record_result,
    claim,
    start,
    apply_children,
    delete_outdated_pod,
    lift_halt,
    create_cutover,
    report,
    drill,
    apply_optional_children,
    prune_cutovers,
    prune_configs,
)

#: Seconds between two reconciliations for what no watch event reports: the process's status.
_SOON = 2.0


def restraint(observed: RunnerObserved) -> Step | None:
    """The order to halt or to engage the kill switch that the pod lacks, if any. It doesn't depend
    on the process: one that hangs or lies must not keep an order from its pod."""
    return enforce_halt(orders_of(observed))


def decide(observed: RunnerObserved) -> Step:
    """The next request for the observed runner, or a wait."""
    view = build_context(observed)
    for step in STEPS:
        next_step = step(view)
        if next_step is not None:
            return next_step
    return _until(_wait(view), pause(view))


def _until(wait: Wait, seconds: float | None) -> Wait:
    """`wait`, but for `seconds` at most."""
    if seconds is None or (wait.seconds is not None and wait.seconds <= seconds):
        return wait
    return Wait(wait.reason, seconds)


def _wait(view: RunnerContext) -> Wait:
    pod = view.pod
    if any(deleting(live) for live in view.observed.children.values()):
        return Wait("a child is being deleted", _SOON)
    if pod is None:
        return Wait("no pod")
    if pod.deleting or not pod.ready:
        return Wait("the pod isn't ready", _SOON)
    if view.stateful_set is not None and not template_observed(view):
        return Wait("the StatefulSet's controller has not observed its template yet", _SOON)
    if view.observed.process is None:
        return Wait("the process does not answer", _SOON)
    return Wait("the observed state is the desired one")
