"""How a cutover ends, and what is still done then."""

from __future__ import annotations

from typing import Any

from tradepulse_operator.api.cutover_status import CutoverPhase, ReportRecord
from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.common.names import INCIDENTS_DIR, incident_name
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.status import cutover_ref, enter_phase, write_status
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import FileReport, Step, Wait


def end_failed(observed: CutoverObserved, reason: str, message: str) -> Step:
    """End before anything was switched; the source goes on."""
    return enter_phase(observed, CutoverPhase.FAILED, f"{reason}: {message}", reason=reason)


def unreported(_: CutoverObserved) -> Step:
    """After an end without a rollback there is nothing left to do."""
    return Wait("ended")


def aborted_before_switch(observed: CutoverObserved) -> Step:
    return end_failed(
        observed, CutoverReason.ABORTED, "aborted by spec.abort before anything was switched"
    )


def end_halted(observed: CutoverObserved, reason: str, message: str, **changes: Any) -> Step:
    """Nothing trades any more: a person decides."""
    rollback = changes.get("rollback", observed.cutover.status.rollback)
    if rollback is not None and not rollback.nonce:
        changes["rollback"] = rollback.model_copy(update={"nonce": observed.nonce})
    return enter_phase(
        observed, CutoverPhase.HALTED, f"{reason}: {message}", reason=reason, **changes
    )


def ended(observed: CutoverObserved) -> Step:
    """After a rollback the report gets its outcome, once."""
    cutover = observed.cutover
    if observed.report != "final":
        return FileReport(cutover_ref(cutover), final=True)
    record = cutover.status.report
    if record is None or observed.report_head not in ("", record.head):
        filed = record or report_record(observed)
        news = {"head": observed.report_head, "stage": observed.report}
        return write_status(observed, report=filed.model_copy(update=news))
    return Wait("ended")


def report_record(observed: CutoverObserved) -> ReportRecord:
    meta = observed.cutover.metadata
    return ReportRecord(
        config_map=incident_name(meta.name),
        path=f"{INCIDENTS_DIR}/{meta.uid}",
        captured_at=timestamp(observed.now),
        head=observed.report_head,
        stage=observed.report,
    )
