"""Whether the order state that the previous release started on is what `rollback.state` asks for.

The state container reports what it did, see `statement`. One that reports nothing, or did something
else, has let the previous release start on a state of unknown origin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import BackupRecord
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.reasons import ConditionType, CutoverReason
from tradepulse_operator.controllers.conditions import find_condition, set_condition
from tradepulse_operator.controllers.observed.termination import Result, Statement, statement
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView

_WANTED = {
    StateOnRollback.RESTORE: Result.RESTORED,
    StateOnRollback.KEEP: Result.KEPT,
    StateOnRollback.FREEZE: Result.FROZEN,
}


def unrestored(observed: CutoverObserved, pod: PodView | None) -> str:
    """Why the state isn't what the rollback asks for; "" when it is, or while the state
    container of `pod` has not ended."""
    if pod is None or pod.init_exit is None:
        return ""  # not prepared yet
    answer, cutover = statement(pod.init_message), observed.cutover
    if pod.init_exit != 0:
        return answer.problem if answer.refused else ""  # else it is tried again
    backup, uid = cutover.status.backup, cutover.metadata.uid
    if answer.result is not Result.ERROR and backup is None:
        # Nothing of the new release was started on the state before it was backed up.
        return ""
    if answer.result is _WANTED[cutover.spec.rollback.state] and answer.id == uid:
        return _another(answer, backup, _nonce(cutover))
    return _words(answer, uid)


def _another(answer: Statement, backup: BackupRecord | None, nonce: str) -> str:
    """Why what was restored isn't the backup on record, or not by this rollback; "" when it is, or
    nothing was restored."""
    if answer.result is not Result.RESTORED:
        return ""
    known = backup.sha256 if backup else ""
    if known and answer.sha256 != known:
        return f"backup {answer.id} has sha256 {answer.sha256}, it was {known} when it was made"
    # Without one on record (an operator of before wrote the status) nothing can be compared.
    if nonce and answer.nonce not in (None, nonce):
        return f"backup {answer.id} was restored by another rollback than this one"
    return ""


def _words(answer: Statement, uid: str) -> str:
    match answer.result:
        case Result.ERROR:
            return f"the state container ended with 0, but can't be relied on: {answer.problem}"
        case Result.MISSING:
            return f"backup {uid} is no longer on the state volume: nothing was restored"
        case Result.NOTHING:
            return f"the state container didn't report that backup {uid} was restored"
        case Result.RESTORED | Result.KEPT | Result.FROZEN:
            return (
                f"the state container says that backup {answer.id} was {answer.result}, not {uid}"
            )
        case _:
            assert_never(answer.result)


def proven(observed: CutoverObserved, pod: PodView) -> CutoverObserved:
    """`observed` with a condition that says whether the restore is this rollback's own: then the
    state container reported the nonce, which nothing that the new release left can contain."""
    cutover, nonce = observed.cutover, _nonce(observed.cutover)
    backup = cutover.status.backup
    if cutover.spec.rollback.state is not StateOnRollback.RESTORE or backup is None:
        return observed
    own = nonce != "" and statement(pod.init_message).nonce == nonce
    conditions = set_condition(
        cutover.status.conditions,
        ConditionType.STATE_RESTORED,
        ConditionStatus.TRUE if own else ConditionStatus.UNKNOWN,
        CutoverReason.PROVEN if own else CutoverReason.UNPROVEN,
        f"backup {backup.id} was restored by this rollback"
        if own
        else "the previous release, or the operator that began this rollback, is too old to prove"
        " that the order state was restored by it: compare orders and positions with the venue",
        now=observed.now,
        generation=cutover.metadata.generation,
    )
    status = cutover.status.model_copy(update={"conditions": conditions})
    return replace(observed, cutover=cutover.model_copy(update={"status": status}))


def unproven(observed: CutoverObserved) -> str:
    """A remark on a restore that could not be proven; "" on every other."""
    condition = find_condition(observed.cutover.status.conditions, ConditionType.STATE_RESTORED)
    if condition is None or condition.status is ConditionStatus.TRUE:
        return ""
    return " (that its order state was restored is unproven: see the condition StateRestored)"


def _nonce(cutover: ReleaseCutover) -> str:
    rollback = cutover.status.rollback
    return rollback.nonce if rollback else ""
