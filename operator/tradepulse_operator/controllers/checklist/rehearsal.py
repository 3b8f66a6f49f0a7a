"""Whether the target release traded well on paper. Pure.

It is judged by the counters of its own process, which are complete even if the operator was
restarted. What was observed is in the status, under the uid of its pod, so another pod (the first
was lost with its node) starts a new rehearsal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tradepulse_operator.api.checklist import CheckResult
from tradepulse_operator.api.guardrails import Guardrails
from tradepulse_operator.api.rehearsal import RehearsalPolicy, RehearsalStatus
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.observed.views import (
    AuxiliaryPodView,
    CutoverObserved,
    ProcessView,
)
from tradepulse_operator.guard.tally import beyond_chance

from .outcome import CheckOutcome, failed, pending

#: Seconds beyond the rehearsal in which its process has to answer.
_GRACE = 30.0
_TRADING = "TRADING"


def rehearsed(
    observed: CutoverObserved, policy: RehearsalPolicy
) -> tuple[CheckOutcome, RehearsalStatus | None]:
    """The outcome of the rehearsal, and its record for the status."""
    known, pod = observed.cutover.status.rehearsal, observed.rehearsal
    if known and known.result:
        return CheckOutcome(known.result, known.message), known
    if pod is None or pod.deleting:
        return pending("waits for a pod that trades the release on paper"), known
    if known is None or known.pod != pod.uid:
        return _starting(observed, pod, policy)
    return _trading(observed, pod, known, policy)


def _starting(
    observed: CutoverObserved, pod: AuxiliaryPodView, policy: RehearsalPolicy
) -> tuple[CheckOutcome, RehearsalStatus | None]:
    process = observed.rehearsal_process
    if pod.ready and process and process.state == _TRADING:
        at = timestamp(observed.now)
        begun = RehearsalStatus(pod=pod.uid, started_at=at, image_id=pod.image_id)
        return pending(_on(policy)), begun
    if pod.ended and pod.exit_code is None:
        return pending("the pod of the rehearsal was lost: another one follows"), None
    waited = observed.now - pod.created_at
    late = waited > seconds(observed.cutover.spec.switch_deadline)
    why = _ended(pod) or (
        f"not ready within switchDeadline{_why(process, pod)}" if late and pod.created_at else ""
    )
    if not why:
        return pending("waits for the rehearsal to trade"), None
    at = timestamp(observed.now)
    begun = RehearsalStatus(pod=pod.uid, started_at=at, image_id=pod.image_id)
    return _closed(begun, CheckResult.FAIL, why, observed.now)


def _trading(
    observed: CutoverObserved,
    pod: AuxiliaryPodView,
    known: RehearsalStatus,
    policy: RehearsalPolicy,
) -> tuple[CheckOutcome, RehearsalStatus | None]:
    if pod.ended and pod.exit_code is None:
        return pending("the pod of the rehearsal was lost: another one follows"), known
    process, now = observed.rehearsal_process, observed.now
    over = now - instant(known.started_at) - seconds(policy.duration)
    why = _ended(pod) or (
        "its process didn't answer any more" if process is None and over > _GRACE else ""
    )
    if why:
        return _closed(known, CheckResult.FAIL, why, now)
    if process is None:
        return pending(_on(policy)), known
    guardrails = observed.cutover.spec.guardrails
    why = next(_early(process, guardrails), "")
    if not why and over < 0:
        return pending(_on(policy)), known
    why = why or next(_late(process, guardrails, policy), "")
    counted = known.model_copy(update=_counts(process))
    if why:
        return _closed(counted, CheckResult.FAIL, why, now)
    traded = f"traded {process.orders} orders in {policy.duration}"
    return _closed(counted, CheckResult.PASS, traded, now)


def _on(policy: RehearsalPolicy) -> str:
    return f"trades on paper for {policy.duration}"


def _ended(pod: AuxiliaryPodView) -> str:
    if not pod.ended:
        return ""
    return f"its process ended with exit code {pod.exit_code}: {pod.message}".rstrip(": ")


def _why(process: ProcessView | None, pod: AuxiliaryPodView) -> str:
    state = f", its process says {process.state}" if process else ", its process doesn't answer"
    return f": {pod.waiting}" if pod.waiting else state


def _early(process: ProcessView, guardrails: Guardrails) -> Iterator[str]:
    """Failures that end the rehearsal early."""
    if process.kill_switch:
        yield f"its kill switch engaged: {process.kill_switch_reason}"
    if beyond_chance(process.failed_orders, process.orders, guardrails.error_rate):
        yield _errors(process, guardrails)


def _late(process: ProcessView, guardrails: Guardrails, policy: RehearsalPolicy) -> Iterator[str]:
    if process.orders < policy.min_orders:
        yield f"traded {process.orders} orders in {policy.duration}, fewer than minOrders"
    if process.failed_orders > guardrails.error_rate * process.orders:
        yield _errors(process, guardrails)
    p95, limit = process.p95_milliseconds, 1000 * seconds(guardrails.p95_latency)
    if p95 is not None and p95 > limit:
        yield f"p95 latency {p95:.0f} ms above {guardrails.p95_latency}"


def _errors(process: ProcessView, guardrails: Guardrails) -> str:
    share = f"{process.failed_orders} of {process.orders} orders failed"
    return f"{share}, more than errorRate {guardrails.error_rate:g}"


def _counts(process: ProcessView) -> dict[str, Any]:
    return {
        "orders": process.orders,
        "failed": process.failed_orders,
        "p95_milliseconds": process.p95_milliseconds,
    }


def _closed(
    known: RehearsalStatus, result: CheckResult, message: str, now: float
) -> tuple[CheckOutcome, RehearsalStatus]:
    update = {"result": result, "message": message[:1024], "finished_at": timestamp(now)}
    record = known.model_copy(update=update)
    outcome = failed(message) if result is CheckResult.FAIL else CheckOutcome(result, message)
    return outcome, record
