"""What is done for a runner that this operator can't parse, or whose claimed cutover it can't.

Only what stops: orders are delivered and a runner is scaled down by facts that are read one by one
from the raw objects. Nothing is started, moved or lifted, as nobody knows what was meant; and a
condition names the field for a person.
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

#: Seconds between two looks: no event says that another version of the operator could read it.
_LOOK = 30.0

_PHASES = {phase.value: phase for phase in CutoverPhase}
_STEPS = {step.value: step for step in RollbackStep}


@dataclass(frozen=True)
class RawRunner:
    """The world around such a runner. `manifest`, `cutover`: as the API server has them; the latter
    is the one that is claimed. `now`: unix seconds. `problem`: what can't be parsed."""

    manifest: Manifest
    now: float
    problem: NotUnderstood
    cutover: Manifest | None = None
    pod: PodView | None = None
    stateful_set: Manifest | None = None

    @property
    def meta(self) -> Meta:
        """Metadata, which the API server itself keeps in shape."""
        return Meta.model_validate(self.manifest["metadata"])


def decide_raw(seen: RawRunner) -> Step:
    """The next request for it, or a wait."""
    for step in (_order, _template, _stop, _tell, _let_go):
        if request := step(seen):
            return request
    return Wait(str(seen.problem), _LOOK)


def raw_events(seen: RawRunner) -> list[Event]:
    """That it isn't understood, once that is in its status."""
    stalled = _stalled(seen)
    return (
        [transition(stalled)] if stalled and stalled.reason == RunnerReason.NOT_UNDERSTOOD else []
    )


# -- what stops it -----------------------------------------------------------------------------


def _orders(seen: RawRunner, release: str) -> dict[str, str]:
    """The annotations that a pod of `release` needs in order to stop; none for one that may go
    on."""
    orders = {}
    if kill := _kill_switch(seen):
        orders[ANNOTATION_KILL_SWITCH] = kill
    if halt := _halt(seen.cutover, release):
        orders[ANNOTATION_TRADING] = halt
    return orders


def _kill_switch(seen: RawRunner) -> str:
    """Why the kill switch is to be engaged; "" when nothing says so."""
    phase = _facts(seen.cutover)
    if phase is not None and phase.kill_switch:
        return halted_kill(text(seen.cutover, "metadata", "name"))
    if true(seen.manifest, "spec", "killSwitch", "engaged"):
        return spec_kill(text(seen.manifest, "spec", "killSwitch", "reason"))
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
    """What holds in the claimed cutover's phase; None for a phase that this operator doesn't know.
    A step that it doesn't know counts as a rollback's first."""
    phase = _PHASES.get(text(cutover, "status", "phase"))
    step = _STEPS.get(text(cutover, "status", "rollback", "step"))
    return None if phase is None else facts(phase, step)


def _order(seen: RawRunner) -> Step | None:
    pod = seen.pod
    if pod is None or pod.deleting:
        return None
    missing: dict[str, str | None] = dict(_missing(_orders(seen, pod.release), pod.annotations))
    meta = seen.meta
    ref = Ref("v1", "Pod", meta.namespace, pod_name(meta.name))
    return Annotate(ref, pod.uid, missing) if missing else None


def _missing(wanted: Mapping[str, str], live: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in wanted.items() if live.get(key) != value)


def _template(seen: RawRunner) -> Step | None:
    """The same orders for a pod that is lost now and made again."""
    live = seen.stateful_set
    if live is None or deleting(live):
        return None
    template = raw(live, "spec", "template", "metadata")
    annotations = raw(template, "annotations")
    known = annotations if isinstance(annotations, Mapping) else {}
    missing = dict(_missing(_orders(seen, text(template, "labels", LABEL_RELEASE)), known))
    if not missing:
        return None
    changed = copy.deepcopy(live)
    changed["spec"]["template"]["metadata"]["annotations"] = {**known, **missing}
    return Replace(changed)


def _stop(seen: RawRunner) -> Step | None:
    live = seen.stateful_set
    ends = seen.meta.deletion_timestamp is not None or true(seen.manifest, "spec", "suspend")
    if not ends or live is None or deleting(live) or live["spec"].get("replicas", 1) == 0:
        return None
    return Replace({**live, "spec": {**live["spec"], "replicas": 0}})


def _let_go(seen: RawRunner) -> Step | None:
    """The runner is being deleted, and its pod is gone."""
    meta = seen.meta
    if meta.deletion_timestamp is None or CLEAN_STOP not in meta.finalizers:
        return None
    if seen.pod is not None:
        return Wait("the pod cancels its orders and stops", 2)
    left = tuple(item for item in meta.finalizers if item != CLEAN_STOP)
    return SetFinalizers(_ref(seen), meta.resource_version, left)


# -- what is said ------------------------------------------------------------------------------


def _tell(seen: RawRunner) -> Step | None:
    """Say so in the status, and leave the rest of it as it is."""
    old, meta = _stalled(seen), seen.meta
    lasts = old is not None and old.status is ConditionStatus.TRUE
    new = Condition(
        type=ConditionType.STALLED,
        status=ConditionStatus.TRUE,
        reason=RunnerReason.NOT_UNDERSTOOD,
        message=str(seen.problem),
        last_transition_time=old.last_transition_time if old and lasts else timestamp(seen.now),
        observed_generation=meta.generation,
    )
    if new == old:
        return None
    others = [
        each
        for each in _conditions(seen)
        if raw(each, "type") not in (ConditionType.STALLED, ConditionType.RECONCILING)
    ]
    status = raw(seen.manifest, "status")
    kept = dict(status) if isinstance(status, Mapping) else {}
    return WriteStatus(
        _ref(seen), meta.resource_version, {**kept, "conditions": [*others, new.wire()]}
    )


def _conditions(seen: RawRunner) -> list[object]:
    result = raw(seen.manifest, "status", "conditions")
    return result if isinstance(result, list) else []


def _stalled(seen: RawRunner) -> Condition | None:
    live = next(
        (each for each in _conditions(seen) if raw(each, "type") == ConditionType.STALLED), None
    )
    try:
        return Condition.model_validate(live) if live else None
    except ValidationError:
        return None


def _ref(seen: RawRunner) -> Ref:
    return Ref(API_VERSION, TradingRunner.KIND, seen.meta.namespace, seen.meta.name)
