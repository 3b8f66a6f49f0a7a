"""Preflight and AwaitingApproval: nothing is touched before every check passes."""

from __future__ import annotations

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.controllers.checklist.approvals import signatures, unsigned
from tradepulse_operator.controllers.checklist.checklist import next_step, open_items
from tradepulse_operator.controllers.checklist.preconditions import Refusal, preflight
from tradepulse_operator.controllers.cutover.baseline import measured
from tradepulse_operator.controllers.cutover.phases.ends import aborted_before_switch, end_failed
from tradepulse_operator.controllers.cutover.phases.superseded import superseded
from tradepulse_operator.controllers.cutover.status import POLL, enter_phase, wait_with_message
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Step


def checking(observed: CutoverObserved) -> Step:
    """Preflight and AwaitingApproval: nothing is touched before everything that a rollback needs
    is there, and everyone who must has signed. What was checked is checked again after the wait."""
    if observed.cutover.spec.abort:
        return aborted_before_switch(observed)
    outcome = superseded(observed) or preflight(observed)
    if isinstance(outcome, Refusal):
        return end_failed(observed, outcome.reason, outcome.message)
    step = next_step(observed)
    if step:
        return step
    waits = outcome.message if outcome else open_items(observed)
    if waits:
        return wait_with_message(observed, waits, 5 * POLL)
    return _unsigned(observed) or _halt(observed)


def _unsigned(observed: CutoverObserved) -> Step | None:
    cutover = observed.cutover
    lacks = unsigned(cutover, observed.runner) if observed.runner else ""
    if not lacks:
        return None
    if cutover.status.phase is CutoverPhase.AWAITING_APPROVAL:
        return wait_with_message(observed, lacks, 10 * POLL)
    return enter_phase(observed, CutoverPhase.AWAITING_APPROVAL, lacks)


def _halt(observed: CutoverObserved) -> Step:
    source = observed.cutover.status.source
    if source and observed.pod and observed.pod.image_id:
        # What the node resolved the image to: a rollback has to end with the very same.
        source = source.model_copy(update={"image_id": observed.pod.image_id})
    signed = signatures(observed.cutover, observed.runner) if observed.runner else ""
    message = "the active release cancels its orders and drains"
    message = f"{signed}; {message}" if signed else message
    return enter_phase(
        observed, CutoverPhase.HALTING, message, source=source, baseline=measured(observed)
    )
