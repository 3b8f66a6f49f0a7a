"""Whether the order state that the previous release started on is what `rollback.state` asks for.

The state container says what it did, see `statement`. One that says nothing, or did something else,
has let the previous release start on a state that nobody vouches for.
"""

from __future__ import annotations

from typing import assert_never

from tradepulse_operator.api.cutover_status import BackupRecord
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.controllers.observed.termination import Result, Statement, statement
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView

_WANTED = {
    StateOnRollback.RESTORE: Result.RESTORED,
    StateOnRollback.KEEP: Result.KEPT,
    StateOnRollback.FREEZE: Result.FROZEN,
}


def unrestored(observed: CutoverObserved, pod: PodView | None) -> str:
    """Why the state isn't what the rollback asks for, in words; "" when it is, or while the state
    container of `pod` has not ended."""
    if pod is None or pod.init_exit != 0:
        return ""  # not prepared yet
    status, spec = observed.cutover.status, observed.cutover.spec
    told = statement(pod.init_message)
    if told.result is not Result.ERROR and status.backup is None:
        # Nothing of the new release was started on the state before it was backed up.
        return ""
    uid, backup = observed.cutover.metadata.uid, status.backup
    if told.result is _WANTED[spec.rollback.state] and told.id == uid:
        return _another(told, backup)
    return _words(told, uid)


def _another(told: Statement, backup: BackupRecord | None) -> str:
    """Why what was restored isn't the backup on record; "" when it is, or nothing was restored."""
    known = backup.sha256 if backup else ""
    if told.result is not Result.RESTORED or not known or told.sha256 == known:
        return ""
    return f"backup {told.id} has sha256 {told.sha256}, it was {known} when it was made"


def _words(told: Statement, uid: str) -> str:
    match told.result:
        case Result.ERROR:
            return f"the state container ended with 0, but can't be relied on: {told.problem}"
        case Result.MISSING:
            return f"backup {uid} is no longer on the state volume: nothing was restored"
        case Result.NOTHING:
            return f"the state container didn't say that backup {uid} was restored"
        case Result.RESTORED | Result.KEPT | Result.FROZEN:
            return f"the state container says that backup {told.id} was {told.result}, not {uid}"
        case _:
            assert_never(told.result)
