"""The order state is backed up before the target's own process may start."""

from __future__ import annotations

from tradepulse_operator.api.cutover_status import BackupRecord, CutoverPhase
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.controllers.cutover.phases.rolling_back import roll_back
from tradepulse_operator.controllers.cutover.phases.target import target_pod, until_ready
from tradepulse_operator.controllers.cutover.status import enter_phase
from tradepulse_operator.controllers.observed.termination import Statement, statement
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step


def backing_up(observed: CutoverObserved) -> Step:
    """The target's pod backs the state up before its own process may start."""
    pod = target_pod(observed)
    if pod is None or pod.init_exit is None:
        return until_ready(observed, pod, "waits for the backup of the order state")
    if pod.init_exit != 0:
        why = statement(pod.init_message).problem or pod.init_message
        message = f"the state container ended with {pod.init_exit}: {why}"
        return roll_back(observed, CutoverReason.BACKUP_FAILED, message)
    answer = statement(pod.init_message)
    backup = _backup(observed, answer)
    if backup is None:
        why = answer.problem or f"it reported no backup {observed.cutover.metadata.uid}"
        message = f"the state container ended with 0, but {why}"
        return roll_back(observed, CutoverReason.BACKUP_FAILED, message)
    message = f"the state is backed up ({backup.files} files); the new release starts"
    return enter_phase(observed, CutoverPhase.SWITCHING, message, backup=backup)


def _backup(observed: CutoverObserved, answer: Statement) -> BackupRecord | None:
    """The backup of this very cutover, if the state container reported it."""
    backup = answer.backup
    return backup if backup and backup.id == observed.cutover.metadata.uid else None
