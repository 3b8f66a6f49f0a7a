"""Reconciles a runner that this operator can't parse, or whose claimed cutover it can't.

Only what stops trading is done: orders to halt are delivered, and a runner is scaled down, by
fields that are read one by one from the raw objects. Nothing is started, replaced or resumed, as
the desired state is unknown; a condition names the field for a person.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from tradepulse_operator.api.cutover_status import CutoverPhase, RollbackStep
from tradepulse_operator.api.meta import Condition, ConditionStatus, Meta
from tradepulse_operator.api.phases import PhaseFacts, Side, facts
from tradepulse_operator.api.read import NotUnderstood, raw, text, true
from tradepulse_operator.api.reasons import ConditionType, RunnerReason
from tradepulse_operator.api.runner import CLEAN_STOP, TradingRunner
from tradepulse_operator.common.names import (
    ANNOTATION_KILL_SWITCH,
    ANNOTATION_TRADING,
    API_VERSION,
    LABEL_RELEASE,
    pod_name,
)
from tradepulse_operator.common.objects import Manifest, Ref
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.events import transition
from tradepulse_operator.controllers.observed.views import PodView
from tradepulse_operator.controllers.step import (
    Annotate,
    Event,
    Replace,
    SetFinalizers,
    Step,
    Wait,
    WriteStatus,
)

from .desired_run import halt_order, halted_kill, spec_kill
from .diff import deleting

#: Seconds to the next reconciliation: no event announces another version of the operator.
_RETRY = 30.0

_PHASES = {phase.value: phase for phase in CutoverPhase}
_STEPS = {step.value: step for step in RollbackStep}


@dataclass(frozen=True)
class RawRunner:
    """The observed state of such a runner. `manifest`: as the API server has it; `cutover`: the
    claimed one, likewise. `now`: unix seconds. `problem`: what can't be parsed."""

    manifest: Manifest
    now: float
    problem: NotUnderstood
    cutover: Manifest | None = None
    pod: PodView | None = None
    stateful_set: Manifest | None = None

    @property
    def meta(self) -> Meta:
        """Metadata, whose form the API server guarantees."""
        return Meta.model_validate(self.manifest["metadata"])


def decide_raw(observed: RawRunner) -> Step:
    """The next request for it, or a wait."""
    for step in (_order, _template, _stop, _report, _remove_finalizer):
        if request := step(observed):
            return request
    return Wait(str(observed.problem), _RETRY)


def raw_events(observed: RawRunner) -> list[Event]:
    """The event that it isn't understood, once that is in its status."""
    stalled = _stalled(observed)
    return (
        [transition(stalled)] if stalled and stalled.reason == RunnerReason.NOT_UNDERSTOOD else []
    )


# -- what stops it -----------------------------------------------------------------------------


def _orders(observed: RawRunner, release: str) -> dict[str, str]:
    """The annotations that a pod of `release` needs in order to stop; none for one that may go
    on."""
    orders = {}
    if kill := _kill_switch(observed):
        orders[ANNOTATION_KILL_SWITCH] = kill
    if halt := _halt(observed.cutover, release):
        orders[ANNOTATION_TRADING] = halt
    return orders


def _kill_switch(observed: RawRunner) -> str:
    """Why the kill switch is to be engaged; "" when it isn't."""
    phase = _facts(observed.cutover)
    if phase is not None and phase.kill_switch:
        return halted_kill(text(observed.cutover, "metadata", "name"))
    if true(observed.manifest, "spec", "killSwitch", "engaged"):
        return spec_kill(text(observed.manifest, "spec", "killSwitch", "reason"))
    return ""


def _halt(cutover: Manifest | None, release: str) -> str:
    """The order by which the claimed cutover halts a pod of `release`; "" when it doesn't."""
    phase = _facts(cutover)
    if phase is None or phase.final or not phase.touched:
        return ""
    for side in Side:
        # Where the desired release may trade, a pod of the other one may not.
        halted = (phase.runs is side) is phase.halted
        if halted and release and release == text(cutover, "status", side, "id"):
            return halt_order(text(cutover, "metadata", "uid"), side)
    return ""


def _facts(cutover: Manifest | None) -> PhaseFacts | None:
    """The facts of the claimed cutover's phase; None for a phase that this operator doesn't know.
    A step that it doesn't know counts as a rollback's first."""
    phase = _PHASES.get(text(cutover, "status", "phase"))
    step = _STEPS.get(text(cutover, "status", "rollback", "step"))
    return None if phase is None else facts(phase, step)


def _order(observed: RawRunner) -> Step | None:
    pod = observed.pod
    if pod is None or pod.deleting:
        return None
    missing: dict[str, str | None] = dict(_missing(_orders(observed, pod.release), pod.annotations))
    meta = observed.meta
    ref = Ref("v1", "Pod", meta.namespace, pod_name(meta.name))
    return Annotate(ref, pod.uid, missing) if missing else None


def _missing(wanted: Mapping[str, str], live: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in wanted.items() if live.get(key) != value)


def _template(observed: RawRunner) -> Step | None:
    """The same orders for a pod that is lost now and made again."""
    live = observed.stateful_set
    if live is None or deleting(live):
        return None
    template = raw(live, "spec", "template", "metadata")
    annotations = raw(template, "annotations")
    known = annotations if isinstance(annotations, Mapping) else {}
    missing = dict(_missing(_orders(observed, text(template, "labels", LABEL_RELEASE)), known))
    if not missing:
        return None
    changed = copy.deepcopy(live)
    changed["spec"]["template"]["metadata"]["annotations"] = {**known, **missing}
    return Replace(changed)


def _stop(observed: RawRunner) -> Step | None:
    live = observed.stateful_set
    ends = observed.meta.deletion_timestamp is not None or true(
        observed.manifest, "spec", "suspend"
    )
    if not ends or live is None or deleting(live) or live["spec"].get("replicas", 1) == 0:
        return None
    return Replace({**live, "spec": {**live["spec"], "replicas": 0}})


def _remove_finalizer(observed: RawRunner) -> Step | None:
    """The runner is being deleted, and its pod is gone."""
    meta = observed.meta
    if meta.deletion_timestamp is None or CLEAN_STOP not in meta.finalizers:
        return None
    if observed.pod is not None:
        return Wait("the pod cancels its orders and stops", 2)
    left = tuple(item for item in meta.finalizers if item != CLEAN_STOP)
    return SetFinalizers(_ref(observed), meta.resource_version, left)


# -- the status -------------------------------------------------------------------------------


def _report(observed: RawRunner) -> Step | None:
    """Set the condition Stalled, and leave the rest of the status unchanged."""
    old, meta = _stalled(observed), observed.meta
    lasts = old is not None and old.status is ConditionStatus.TRUE
    new = Condition(
        type=ConditionType.STALLED,
        status=ConditionStatus.TRUE,
        reason=RunnerReason.NOT_UNDERSTOOD,
        message=str(observed.problem),
        last_transition_time=old.last_transition_time if old and lasts else timestamp(observed.now),
        observed_generation=meta.generation,
    )
    if new == old:
        return None
    others = [
        each
        for each in _conditions(observed)
        if raw(each, "type") not in (ConditionType.STALLED, ConditionType.RECONCILING)
    ]
    status = raw(observed.manifest, "status")
    kept = dict(status) if isinstance(status, Mapping) else {}
    return WriteStatus(
        _ref(observed), meta.resource_version, {**kept, "conditions": [*others, new.wire()]}
    )


def _conditions(observed: RawRunner) -> list[object]:
    result = raw(observed.manifest, "status", "conditions")
    return result if isinstance(result, list) else []


def _stalled(observed: RawRunner) -> Condition | None:
    live = next(
        (each for each in _conditions(observed) if raw(each, "type") == ConditionType.STALLED), None
    )
    try:
        return Condition.model_validate(live) if live else None
    except ValidationError:
        return None


def _ref(observed: RawRunner) -> Ref:
    return Ref(API_VERSION, TradingRunner.KIND, observed.meta.namespace, observed.meta.name)
