"""Whether the order state that the previous release started on is the one that was backed up.

The state container says what it did. One that restored nothing although a backup is on record, or
restored another one, has let the previous release start on a state of the new one.
"""

from __future__ import annotations

from tradepulse_operator.api.policy import StateOnRollback
from tradepulse_operator.controllers.observed.termination import said
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView

#: What the runner says of a backup that isn't on the state volume.
NO_BACKUP = "no such backup"


def unrestored(observed: CutoverObserved, pod: PodView | None) -> str:
    """Why the state isn't that of the backup, in words; "" when it is, or when the rollback
    restores nothing."""
    cutover = observed.cutover
    backup = cutover.status.backup
    if cutover.spec.rollback.state is not StateOnRollback.RESTORE or backup is None:
        return ""
    if pod is None or pod.init_exit != 0:
        return ""  # not prepared yet
    found = said(pod).get("restore")
    if not isinstance(found, dict):
        return ""  # a release of before said nothing of it
    if found.get("id") != backup.id:
        return f"backup {found.get('id')} was restored, not {backup.id}"
    if str(found.get("skipped") or "").startswith(NO_BACKUP):
        return f"backup {backup.id} is no longer on the state volume: nothing was restored"
    sha256 = found.get("sha256")
    if sha256 and backup.sha256 and sha256 != backup.sha256:
        return f"backup {backup.id} has sha256 {sha256}, it was {backup.sha256} when it was made"
    return ""
