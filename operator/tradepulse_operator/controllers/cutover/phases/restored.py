"""Whether the order state that the previous release started on is the one that was backed up.

The state container says what it did. One that restored nothing although a backup is on record, or
restored another one, has let the previous release start on a state of the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import BackupRecord
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.api.units import LONGEST_MESSAGE
from tradepulse_operator.controllers.conditions import find_condition, set_condition
from tradepulse_operator.controllers.observed.termination import said
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView

#: What the runner says of a backup that isn't on the state volume.
NO_BACKUP = "no such backup"
RESTORED = "StateRestored"
#: Characters of a name or checksum of the state container's that a message repeats.
_LONGEST = 128


def unrestored(observed: CutoverObserved, pod: PodView | None) -> str:
    """Why the state isn't that of the backup, in words; "" when it is, or when the rollback
    restores nothing."""
    backup = observed.cutover.status.backup
    if not _restores(observed.cutover) or backup is None:
        return ""
    if pod is None or pod.init_exit is None:
        return ""  # not prepared yet
    told = said(pod)
    if pod.init_exit != 0:
        refused = str(told.get("error") or "the restore was refused")[:LONGEST_MESSAGE]
        return refused if told.get("refused") is True else ""
    found = told.get("restore")
    # A release of before said nothing of it.
    return _differs(backup, found, _nonce(observed.cutover)) if isinstance(found, dict) else ""


def _differs(backup: BackupRecord, found: Mapping[str, Any], nonce: str) -> str:
    if found.get("id") != backup.id:
        return f"backup {_text(found.get('id'))} was restored, not {backup.id}"
    if _text(found.get("skipped")).startswith(NO_BACKUP):
        return f"backup {backup.id} is no longer on the state volume: nothing was restored"
    sha256 = _text(found.get("sha256"))
    if sha256 and backup.sha256 and sha256 != backup.sha256:
        return f"backup {backup.id} has sha256 {sha256}, it was {backup.sha256} when it was made"
    if found.get("nonce") not in (None, nonce):
        return f"backup {backup.id} was restored by another rollback than this one"
    return ""


def proven(observed: CutoverObserved, pod: PodView) -> CutoverObserved:
    """`observed` with a condition that tells whether the restore is this rollback's own: then the
    state container said the nonce, which a mark that the new release left can't hold."""
    cutover = observed.cutover
    if not _restores(cutover) or cutover.status.backup is None:
        return observed
    found, nonce = said(pod).get("restore"), _nonce(cutover)
    own = isinstance(found, dict) and nonce != "" and found.get("nonce") == nonce
    conditions = set_condition(
        cutover.status.conditions,
        RESTORED,
        ConditionStatus.TRUE if own else ConditionStatus.UNKNOWN,
        "Proven" if own else "Unproven",
        f"backup {cutover.status.backup.id} was restored by this rollback"
        if own
        else "the previous release is too old to prove that its order state was restored by this"
        " rollback: compare its orders and positions with the venue",
        now=observed.now,
        generation=cutover.metadata.generation,
    )
    status = cutover.status.model_copy(update={"conditions": conditions})
    return replace(observed, cutover=cutover.model_copy(update={"status": status}))


def unproven(observed: CutoverObserved) -> str:
    """A remark on a restore that could not be proven; "" on every other."""
    found = find_condition(observed.cutover.status.conditions, RESTORED)
    if found is None or found.status is ConditionStatus.TRUE:
        return ""
    return " (that its order state was restored is unproven: see the condition StateRestored)"


def _restores(cutover: ReleaseCutover) -> bool:
    return cutover.spec.rollback.state is StateOnRollback.RESTORE


def _nonce(cutover: ReleaseCutover) -> str:
    rollback = cutover.status.rollback
    return rollback.nonce if rollback else ""


def _text(value: object) -> str:
    return str(value)[:_LONGEST] if value is not None else ""
