"""Event bus and database at the end of a move, against the baseline: reported, never waited for.

The process queries them, with its own certificates; here its reports are compared. Neither a
rollback nor a promotion depends on the result: both services are down now and then, and trading on
with the worse release repairs neither. The result is in the very write that ends the cutover.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tradepulse_operator.api.baseline import (
    MOST_DIFFERENCES,
    Baseline,
    BaselinePolicy,
    StreamsRecord,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.reasons import ConditionType, CutoverReason
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.units import LONGEST_MESSAGE, seconds
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.conditions import set_condition
from tradepulse_operator.controllers.observed.data_services import BusView, DatabaseView
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView

from . import kafka as streams_kafka
from . import postgres as streams_postgres

#: Seconds after which an answer is too old to count; the process asks several times as often.
FRESH = 60.0


@dataclass(frozen=True)
class Compared:
    """Texts: differences from the baseline, remarks on other changes, and what isn't known."""

    differences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            self.differences + other.differences,
            self.remarks + other.remarks,
            self.unknown + other.unknown,
        )


def compare(
    before: Baseline,
    process: ProcessView | None,
    runner: TradingRunner | None,
    policy: BaselinePolicy,
    now: float,
    *,
    config_changed: bool = False,
) -> Compared | None:
    """What `process` says at `now` (unix seconds) compared with the baseline; None where the runner
    has neither event bus nor database. `config_changed`: another configuration runs than was
    measured."""
    spec = runner.spec if runner else None
    compared = list[Compared]()
    if before.kafka or (spec and spec.event_bus):
        compared.append(
            _kafka(before, process.bus if process else None, policy, now, config_changed)
        )
    if before.postgres or (spec and spec.database):
        compared.append(
            _postgres(before, process.database if process else None, policy, now, config_changed)
        )
    return sum(compared, Compared()) if compared else None


def _kafka(
    before: Baseline, bus: BusView | None, policy: BaselinePolicy, now: float, config_changed: bool
) -> Compared:
    why = _unavailable(before.kafka is not None, bus, now)
    if why or bus is None or before.kafka is None:
        return Compared(unknown=(f"Kafka: {why}",))
    most = policy.kafka.max_lag if policy.kafka else None
    return Compared(
        tuple(streams_kafka.differences(before.kafka, bus, most, config_changed=config_changed))
    )


def _postgres(
    before: Baseline,
    database: DatabaseView | None,
    policy: BaselinePolicy,
    now: float,
    config_changed: bool,
) -> Compared:
    why = _unavailable(before.postgres is not None, database, now)
    if why or database is None or before.postgres is None:
        return Compared(unknown=(f"PostgreSQL: {why}",))
    most = seconds(policy.postgres.max_replica_lag) if policy.postgres else None
    return Compared(
        tuple(
            streams_postgres.differences(
                before.postgres, database, most, config_changed=config_changed
            )
        ),
        tuple(streams_postgres.remarks(before.postgres, database)),
    )


def _unavailable(measured: bool, view: BusView | DatabaseView | None, now: float) -> str:
    """Why nothing can be compared; "" when it can."""
    if not measured:
        return "nothing was reported before the halt, so there is nothing to compare with"
    if view is None:
        return "the release that runs reports nothing of it"
    if not fresh(view, now):
        return view.problem or f"it hasn't answered the runner within {FRESH:g} s"
    return ""


def fresh(view: BusView | DatabaseView, now: float) -> bool:
    """Whether it has answered the runner lately."""
    return view.at is not None and now - view.at <= FRESH


def reconfigured(cutover: ReleaseCutover) -> bool:
    """Whether the target has another configuration than the source, as far as is known."""
    source, target = cutover.status.source, cutover.status.target
    return not (source and target and source.config_hash == target.config_hash)


def record_comparison(
    observed: CutoverObserved, *, config_changed: bool = False
) -> CutoverObserved:
    """`observed` with the comparison in the cutover's status, for the write that ends it."""
    cutover = observed.cutover
    before = cutover.status.baseline
    result = before and compare(
        before,
        observed.process,
        observed.runner,
        cutover.spec.baseline,
        observed.now,
        config_changed=config_changed,
    )
    if not result:
        return observed
    truth, reason, message = _verdict(result)
    conditions = set_condition(
        cutover.status.conditions,
        ConditionType.STREAMS_INTACT,
        truth,
        reason,
        message[:LONGEST_MESSAGE],
        now=observed.now,
        generation=cutover.metadata.generation,
    )
    status = cutover.status.model_copy(
        update={"streams": record(result, observed.now), "conditions": conditions}
    )
    return replace(observed, cutover=cutover.model_copy(update={"status": status}))


def record(compared: Compared, now: float) -> StreamsRecord:
    """The comparison as it is persisted; `now`: unix seconds."""
    return StreamsRecord(
        at=timestamp(now),
        differences=compared.differences[:MOST_DIFFERENCES],
        differences_left_out=max(0, len(compared.differences) - MOST_DIFFERENCES),
        remarks=compared.remarks[:MOST_DIFFERENCES],
        unknown=compared.unknown,
    )


def _verdict(compared: Compared) -> tuple[ConditionStatus, CutoverReason, str]:
    if compared.differences:
        more = len(compared.differences) - 3
        text = "; ".join(compared.differences[:3]) + (f"; and {more} more" if more > 0 else "")
        return ConditionStatus.FALSE, CutoverReason.STREAMS_DIFFER, text
    if compared.unknown:
        return ConditionStatus.UNKNOWN, CutoverReason.NOT_COMPARED, "; ".join(compared.unknown)
    return ConditionStatus.TRUE, CutoverReason.COMPARED, "as the baseline has them, or further on"


def difference_note(observed: CutoverObserved) -> str:
    """A remark on differences from the baseline; "" when there are none."""
    record = observed.cutover.status.streams
    if record is None or not record.differences:
        return ""
    return " (event bus or database differ from the baseline: see status.streams)"
