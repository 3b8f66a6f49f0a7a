"""The checklist of a cutover: the outcome of each item, and the pods that determine it.

Every item has to pass, or a named person goes on without it. One that can't come true any more
fails the cutover, any other delays it: nothing was touched yet. A pod is created once its answer is
needed, and deleted once that is in the status; one that was created late (a request that was under
way) is deleted as well, before anything is touched and after the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tradepulse_operator.api.checklist import (
    REHEARSAL,
    Check,
    ChecklistItem,
    CheckRecord,
    CheckResult,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.phases import current
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.rehearsal import RehearsalPolicy
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import CONFIG_FILE, check_pod_name, rehearsal_pod_name
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.status import enter_phase, wait_with_message
from tradepulse_operator.controllers.observed.views import AuxiliaryPodView, CutoverObserved
from tradepulse_operator.controllers.step import Apply, Delete, Step
from tradepulse_operator.resources.auxiliary.check import check_pod
from tradepulse_operator.resources.auxiliary.rehearsal import rehearsal_pod

from .checks import IN_A_POD, check, recorded, settled
from .outcome import CheckOutcome, failed, pending
from .rehearsal import rehearsed

#: Seconds after which a check pod that failed is created again: the fault may be fixed by then.
RECHECK = 30.0


def items(cutover: ReleaseCutover, runner: TradingRunner) -> tuple[ChecklistItem, ...]:
    """The items that the runner requires of every cutover, then those of this one. A manually
    created cutover can't omit what the runner's owner requires."""
    wanted = (*runner.spec.cutover.template.checklist, *cutover.spec.checklist)
    return tuple({item.name: item for item in reversed(wanted)}[name] for name in _names(wanted))


def _names(wanted: Iterable[ChecklistItem]) -> Iterator[str]:
    yield from dict.fromkeys(item.name for item in wanted)


def rehearsal_policy(cutover: ReleaseCutover, runner: TradingRunner) -> RehearsalPolicy | None:
    """How the target is to be rehearsed: as the runner asks of every cutover, else as this one
    does; None when it isn't."""
    policies = (runner.spec.cutover.template.rehearsal, cutover.spec.rehearsal)
    return next((policy for policy in policies if policy.required), None)


def needs_pods(cutover: ReleaseCutover, runner: TradingRunner | None) -> tuple[bool, bool]:
    """Whether there may be a pod that checks, and one that rehearses."""
    if runner is None:
        return bool(cutover.spec.checklist), cutover.spec.rehearsal.required
    in_a_pod = any(item.name in IN_A_POD for item in items(cutover, runner))
    return in_a_pod, rehearsal_policy(cutover, runner) is not None


def next_step(observed: CutoverObserved) -> Step | None:
    """The next request that the checklist needs; None when it needs none now."""
    runner = observed.runner
    if runner is None:
        return None
    outcomes = dict(_outcomes(observed, runner))
    changes = _status_changes(observed, runner, outcomes)
    never = next((name for name, each in outcomes.items() if each.final), "")
    if never:
        message = f"{never}: {outcomes[never].message}"
        reason = CutoverReason.CHECK_FAILED
        phase = CutoverPhase.FAILED
        return enter_phase(observed, phase, f"{reason}: {message}", reason=reason, **changes)
    if changes:
        return wait_with_message(
            observed, _waits(changes.get("checklist", ())) or "is checked", **changes
        )
    return next(_pods(observed, runner), None) or delete_finished_pods(observed)


def open_items(observed: CutoverObserved) -> str:
    """What the cutover waits for, in words; "" when the whole checklist is settled."""
    return _waits(observed.cutover.status.checklist)


def _waits(records: Iterable[CheckRecord]) -> str:
    open_ones = [f"{one.name} ({one.message})" for one in records if not settled(one)]
    return f"waits for the checklist: {', '.join(open_ones)}" if open_ones else ""


def _outcomes(
    observed: CutoverObserved, runner: TradingRunner
) -> Iterator[tuple[str, CheckOutcome]]:
    spec = observed.cutover.spec
    waived = {each.check: each for each in spec.waivers}
    vouched = {each.check: each for each in spec.confirmations}
    for item in items(observed.cutover, runner):
        if waiver := waived.get(item.name):
            yield item.name, CheckOutcome(CheckResult.WAIVED, waiver.reason, by=waiver.by)
        elif item.manual is None:
            yield item.name, check(observed, item)
        elif confirmation := vouched.get(item.name):
            yield item.name, CheckOutcome(CheckResult.PASS, confirmation.note, by=confirmation.by)
        else:
            yield item.name, pending(f"waits for someone to vouch for it: {item.manual}")
    policy = rehearsal_policy(observed.cutover, runner)
    if policy is None:
        return
    if waiver := waived.get(REHEARSAL):
        yield REHEARSAL, CheckOutcome(CheckResult.WAIVED, waiver.reason, by=waiver.by)
    elif observed.target_config is None:
        yield REHEARSAL, failed("the target's configuration is gone: create a new ReleaseCutover")
    else:
        yield REHEARSAL, rehearsed(observed, policy)[0]


def _status_changes(
    observed: CutoverObserved, runner: TradingRunner, outcomes: dict[str, CheckOutcome]
) -> dict[str, Any]:
    """The changes that bring the outcomes into the status."""
    status, changes = observed.cutover.status, dict[str, Any]()
    records = tuple(_record(observed, name, each) for name, each in outcomes.items())
    if records != status.checklist:
        changes["checklist"] = records
    policy = rehearsal_policy(observed.cutover, runner)
    if policy and outcomes[REHEARSAL].result is not CheckResult.WAIVED and observed.target_config:
        begun = rehearsed(observed, policy)[1]
        changes |= {"rehearsal": begun} if begun != status.rehearsal else {}
    image = outcomes.get(Check.IMAGE)
    if image and image.result is CheckResult.PASS and status.target:
        target = status.target.model_copy(update={"image_id": image.message})
        changes |= {"target": target} if target != status.target else {}
    return changes


def _record(observed: CutoverObserved, name: str, outcome: CheckOutcome) -> CheckRecord:
    known = recorded(observed, name)
    new = CheckRecord(
        name=name,
        result=outcome.result,
        message=outcome.message,
        by=outcome.by,
        at=timestamp(observed.now),
    )
    same = known is not None and known == new.model_copy(update={"at": known.at})
    return known if known and same else new


def _pods(observed: CutoverObserved, runner: TradingRunner) -> Iterator[Step]:
    """Pods that are missing, and those that are deleted for another attempt."""
    cutover, target = observed.cutover, observed.cutover.status.target
    if target is None:
        return
    if check_wanted(observed):
        if observed.check is None:
            yield Apply(check_pod(cutover, runner, target))
        elif _may_try_again(observed.check, observed.now):
            yield from _delete(observed.check, cutover, check_pod_name(cutover.metadata.uid))
    policy = rehearsal_policy(cutover, runner)
    if policy and rehearsal_wanted(observed):
        text = ((observed.target_config or {}).get("data") or {}).get(CONFIG_FILE)
        pod = observed.rehearsal
        if pod is None and text:
            yield Apply(rehearsal_pod(cutover, runner, target, text, policy))
        elif pod and pod.ended and pod.exit_code is None:
            yield from _delete(pod, cutover, rehearsal_pod_name(cutover.metadata.uid))


def _may_try_again(pod: AuxiliaryPodView, now: float) -> bool:
    return pod.ended and pod.ended_at is not None and now - pod.ended_at >= RECHECK


def check_wanted(observed: CutoverObserved) -> bool:
    """Whether an item still needs the answer of the check pod."""
    if observed.runner is None or not current(observed.cutover.status).checking:
        return False
    wanted = items(observed.cutover, observed.runner)
    return any(item.name in IN_A_POD and not _settled(observed, item.name) for item in wanted)


def rehearsal_wanted(observed: CutoverObserved) -> bool:
    """Whether the rehearsal is to run: once the release is known to start at all."""
    status, runner = observed.cutover.status, observed.runner
    if runner is None or not current(status).checking or check_wanted(observed):
        return False
    if rehearsal_policy(observed.cutover, runner) is None or _settled(observed, REHEARSAL):
        return False
    return status.rehearsal is None or status.rehearsal.result is None


def _settled(observed: CutoverObserved, name: str) -> bool:
    return settled(recorded(observed, name))


def delete_finished_pods(observed: CutoverObserved) -> Step | None:
    """Delete a pod whose answer is no longer needed."""
    uid = observed.cutover.metadata.uid
    for pod, name, wanted in (
        (observed.check, check_pod_name(uid), check_wanted),
        (observed.rehearsal, rehearsal_pod_name(uid), rehearsal_wanted),
    ):
        if pod is not None and not wanted(observed):
            return next(_delete(pod, observed.cutover, name), None)
    return None


def _delete(pod: AuxiliaryPodView, cutover: ReleaseCutover, name: str) -> Iterator[Step]:
    if not pod.deleting:
        yield Delete(Ref("v1", "Pod", cutover.metadata.namespace, name), pod.uid)
