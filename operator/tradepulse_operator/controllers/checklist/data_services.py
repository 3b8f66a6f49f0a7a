"""Checks of the event bus and the database before a release is touched. Pure.

The running release reports their state: it connects with the certificates, and from the place in
the network, that have to work. No message contains a count or a lag, which change at each
reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tradepulse_operator.api.baseline import BaselinePolicy
from tradepulse_operator.api.checklist import Check, ChecklistItem
from tradepulse_operator.api.reasons import ConfigReason
from tradepulse_operator.api.runner import TradingRunnerSpec
from tradepulse_operator.api.units import seconds
from tradepulse_operator.controllers.data_services.compare import FRESH, fresh
from tradepulse_operator.controllers.data_services.kafka import lags
from tradepulse_operator.controllers.data_services.postgres import behind
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    ReplicaView,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.resources.config.render import ConfigError

from .outcome import PASSED, CheckOutcome, failed, pending

#: Readers that a message names.
_NAMED = 4


def require_served(policy: BaselinePolicy, runner: TradingRunnerSpec) -> None:
    """Raise ConfigError where `policy` names a data service that the runner doesn't have."""
    if policy.kafka and not (runner.event_bus and runner.event_bus.readers):
        raise _unserved("spec.baseline.kafka", "spec.eventBus.readers")
    if policy.postgres and runner.database is None:
        raise _unserved("spec.baseline.postgres", "spec.database")


def _unserved(policy: str, field: str) -> ConfigError:
    return ConfigError(
        ConfigReason.INVALID_POLICY,
        f"{policy} asks for what the runner doesn't have: add {field} to the runner, or create a"
        f" ReleaseCutover without {policy}",
    )


def kafka(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    """Brokers answer and take every event, and no reader is too far behind."""
    runner, process = observed.runner, observed.process
    if runner is None or runner.spec.event_bus is None:
        return _not_there(Check.KAFKA, "spec.eventBus")
    if process is None:
        return pending("waits for the active release to report on Kafka")
    bus, policy = process.bus, observed.cutover.spec.baseline.kafka
    lacks = _unreachable(bus, observed.now, "Kafka", "the brokers, and spec.eventBus")
    if lacks or bus is None:
        return failed(lacks)
    late = _late(bus, runner.spec.event_bus.readers, policy.max_lag) if policy else ""
    return failed(late) if late else PASSED


def _late(bus: BusView, readers: Iterable[str], most: int) -> str:
    """Who is too far behind, and what to do; "" when nobody."""
    known = {group for one in bus.partitions for group in one.committed}
    never = next((group for group in readers if group not in known), "")
    if never:
        return (
            f"reader {never} has committed no offset yet, so how far it is behind isn't known:"
            " start it, or take it out of spec.eventBus.readers"
        )
    late = list(dict.fromkeys(_behind(bus, most)))
    more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
    return (
        f"more than {most} records behind (baseline.kafka.maxLag): {', '.join(late[:_NAMED])}"
        f"{more}: check the reader, and let it catch up"
        if late
        else ""
    )


def _behind(bus: BusView, most: int) -> Iterator[str]:
    for one in bus.partitions:
        for group, lag in lags(one):
            if lag > most:
                yield f"{group} on {one.topic}"


def postgres(observed: CutoverObserved, _: ChecklistItem) -> CheckOutcome:
    """The primary takes records, and each replica follows it closely enough."""
    runner, process = observed.runner, observed.process
    if runner is None or runner.spec.database is None:
        return _not_there(Check.POSTGRES, "spec.database")
    if process is None:
        return pending("waits for the active release to report on PostgreSQL")
    database, policy = process.database, observed.cutover.spec.baseline.postgres
    lacks = _unreachable(database, observed.now, "PostgreSQL", "the servers, and spec.database")
    if lacks or database is None:
        return failed(lacks)
    longest = policy.max_replica_lag if policy else None
    if database.primary is None:
        return failed("there is no primary: check the servers, and spec.database.hosts")
    wrong = next(filter(None, (_replica(one, longest) for one in database.replicas)), "")
    return failed(wrong) if wrong else PASSED


def _replica(one: ReplicaView, longest: str | None) -> str:
    """What is wrong with it, and what to do; "" when nothing."""
    if one.problem:
        remedy = "mend it, or take it out of spec.database.hosts"
        return f"replica {one.host}: {_with(remedy, one.problem)}"
    if longest is None:
        return ""
    if one.lag_seconds is None:
        return f"replica {one.host} doesn't report its lag: check its replication"
    if behind(one, seconds(longest)):
        return (
            f"replica {one.host} is more than {longest} behind (baseline.postgres.maxReplicaLag):"
            " check its replication, and let it catch up"
        )
    return ""


def _not_there(check: Check, field: str) -> CheckOutcome:
    return failed(f"the runner has no {field}: add it, or remove the item {check} or waive it")


def _unreachable(view: BusView | DatabaseView | None, now: float, what: str, where: str) -> str:
    """Why it is unavailable, and what to do; "" when it is available."""
    if view is None:
        return f"the active release doesn't report on {what}: check it yourself, and waive the item"
    if view.problem:
        return _with(f"check {where}", view.problem)
    if not fresh(view, now):
        return f"{what} hasn't answered the active release within {FRESH:g} s: check {where}"
    return ""


def _with(remedy: str, problem: str) -> str:
    """`problem` with a remedy: the one that the process names, else `remedy`."""
    return problem if "remedy: " in problem else f"{problem}; remedy: {remedy}"
