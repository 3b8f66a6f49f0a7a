"""The checks that the operator makes itself. Pure, a function a check.

What the check pod reported is kept once it passed; everything else is evaluated at each
reconciliation. No message contains a value that changes from one to the next: each would be a
status write without a change of state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tradepulse_operator.api.checklist import (
    DRILL_AGE,
    Check,
    ChecklistItem,
    CheckRecord,
    CheckResult,
)
from tradepulse_operator.api.spec.drill import DrillResult
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.checklist.preconditions import (
    NotYet,
    one_cutover,
    samples,
    volume,
)
from tradepulse_operator.controllers.observed.termination import answered
from tradepulse_operator.controllers.observed.views import AuxiliaryPodView, CutoverObserved

from .data_services import kafka, postgres
from .outcome import PASSED, CheckOutcome, failed, pending

#: The checks that a pod of the target release makes.
IN_A_POD = frozenset({Check.IMAGE, Check.CONFIG, Check.SECRETS})
#: Free for everything else that is written while the backup is made.
_SPARE = 16 * 1024 * 1024
#: Exit codes from here on are signals: the process was ended, and didn't answer.
_SIGNALS = 128


@dataclass(frozen=True)
class Answer:
    """The answer of a check pod; `config`, `secrets`: the error, "" when there is none. `lost`: why
    there is no answer."""

    config: str = ""
    secrets: str = ""
    lost: str = ""
    misunderstood: bool = False


def recorded(observed: CutoverObserved, name: str) -> CheckRecord | None:
    """What the status records of an item."""
    return next((one for one in observed.cutover.status.checklist if one.name == name), None)


def settled(record: CheckRecord | None) -> bool:
    """Whether the item passed or was waived."""
    return record is not None and record.result in (CheckResult.PASS, CheckResult.WAIVED)


def _image(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    pod = observed.check
    if pod and pod.image_id:
        return CheckOutcome(CheckResult.PASS, pod.image_id)
    return failed(pod.waiting) if pod and pod.waiting else _before(observed, Check.IMAGE)


def _config(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    reply = answer(observed.check)
    if reply is None:
        return _before(observed, Check.CONFIG)
    if reply.lost:
        return failed(reply.lost, final=reply.misunderstood)
    return failed(reply.config, final=True) if reply.config else PASSED


def _secrets(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    reply = answer(observed.check)
    if reply is None or reply.lost:
        return _before(observed, Check.SECRETS)
    return failed(reply.secrets) if reply.secrets else PASSED


def _before(observed: CutoverObserved, check: Check) -> CheckOutcome:
    """What an earlier pod reported, while this one has reported nothing."""
    known = recorded(observed, check)
    if known is None or known.result is CheckResult.WAIVED:
        return pending("waits for the answer of the target release's check pod")
    return CheckOutcome(known.result, known.message)


def answer(pod: AuxiliaryPodView | None) -> Answer | None:
    """None while it has not answered yet."""
    if pod is None or not pod.ended:
        return None
    if pod.exit_code is None or pod.exit_code >= _SIGNALS:
        why = pod.message or f"exit code {pod.exit_code}"
        return Answer(lost=f"the check pod was ended before it answered: {why}")
    reply = _parsed(pod.message)
    if reply is None:
        lost = f"the target release gave no answer (exit code {pod.exit_code}): {pod.message}"
        return Answer(lost=lost, misunderstood=True)
    good = not reply["config"] and not reply["secrets"]
    if not (reply["ok"] == good == (pod.exit_code == 0)):
        lost = f"the target release contradicts itself (exit code {pod.exit_code}): {pod.message}"
        return Answer(lost=lost, misunderstood=True)
    return Answer(reply["config"], reply["secrets"])


def _parsed(message: str) -> Mapping[str, Any] | None:
    """The answer of `config check`, which has had these members since the first release; None
    for anything else."""
    parsed = answered(message)
    wanted = {"ok": bool, "config": str, "secrets": str}
    if parsed is None:
        return None
    return parsed if all(type(parsed.get(key)) is kind for key, kind in wanted.items()) else None


def _volume(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    return _as_preflight(volume(observed))


def _samples(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    return _as_preflight(samples(observed))


def _one_cutover(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    return _as_preflight(one_cutover(observed))


def _as_preflight(refusal: NotYet | None) -> CheckOutcome:
    return PASSED if refusal is None else pending(refusal.message)


def _space(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    process = observed.process
    if process is None:
        return pending("waits for the active release to report its free space")
    if process.free_bytes is None or process.backup_bytes is None:
        return failed(
            "the active release doesn't report its free space: check the state volume, and"
            " waive the item"
        )
    if process.free_bytes < 2 * process.backup_bytes + _SPARE:
        return failed(
            "the state volume has no room for a backup and as much again: raise spec.state.size, or"
            " lower spec.state.backups.keep"
        )
    return PASSED


def _drill(observed: CutoverObserved, item: ChecklistItem) -> CheckOutcome:
    limit = item.max_age or DRILL_AGE
    last = observed.runner.status.last_drill if observed.runner else None
    if last is None or last.passed_at is None:
        return failed("no drill of the kill switch has passed yet: run one, or waive it")
    if last.result is DrillResult.FAILED:
        return failed(f"the last drill failed, at {last.at}: {last.message}")
    if observed.now - instant(last.passed_at) > seconds(limit):
        return failed(f"the last drill, at {last.passed_at}, is older than {limit}: run another")
    return PASSED


CHECKS: Mapping[Check, Callable[[CutoverObserved, ChecklistItem], CheckOutcome]] = {
    Check.IMAGE: _image,
    Check.CONFIG: _config,
    Check.SECRETS: _secrets,
    Check.VOLUME: _volume,
    Check.BACKUP_SPACE: _space,
    Check.SAMPLES: _samples,
    Check.ONE_CUTOVER: _one_cutover,
    Check.DRILL: _drill,
    Check.KAFKA: kafka,
    Check.POSTGRES: postgres,
}


def check(observed: CutoverObserved, item: ChecklistItem) -> CheckOutcome:
    """The outcome of an item that the operator checks itself."""
    known = {each.value: each for each in CHECKS}
    if item.name not in known:
        return failed("this operator doesn't know the check: upgrade it, or waive the check")
    return CHECKS[known[item.name]](observed, item)
