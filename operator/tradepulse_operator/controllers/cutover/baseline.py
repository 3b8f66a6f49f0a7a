"""The runner's baseline, measured in the last reconciliation before its release is halted.

It is recorded with the very write that begins the halt: later decisions use the same limits, and
nothing is measured of a release that already drains. A further part of a baseline is one function
more here, from what was observed to its record.
"""

from __future__ import annotations

from dataclasses import asdict

from tradepulse_operator.api.baseline import (
    MOST_PARTITIONS,
    MOST_POSITIONS,
    Baseline,
    BaselinePolicy,
    BookBaseline,
    KafkaBaseline,
    PartitionBaseline,
    PositionBaseline,
    PostgresBaseline,
    ReplicaBaseline,
    ServiceBaseline,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.units import seconds
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.observed.data_services import BusView, DatabaseView
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView
from tradepulse_operator.guard.baseline import measure, own_limits, tightened
from tradepulse_operator.guard.limits import Limits, limits
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.guard.tally import Tally, beyond_chance


def measured(observed: CutoverObserved) -> Baseline:
    """The baseline, of everything that is observed."""
    policy, runner, recording = observed.cutover.spec.baseline, observed.runner, observed.recording
    at, service = observed.now, None
    if runner is not None and recording is not None:
        thresholds = limits(
            observed.cutover.spec.guardrails, runner.spec.monitoring.scrape_interval
        )
        # Up to the newest scrape that was seen: whoever measures again finds no other samples until
        # then. And up to the very instant that is recorded, which has microseconds.
        at = instant(timestamp(_newest(recording)))
        service = service_of(recording, at, policy, thresholds)
    process = observed.process
    return Baseline(
        at=timestamp(at),
        service=service,
        book=_book(process),
        kafka=kafka_of(process.bus) if process and process.bus else None,
        postgres=postgres_of(process.database) if process and process.database else None,
    )


def _newest(recording: Recording) -> float:
    """Time of the newest sample of the runner; all of one scrape appear together."""
    times = (at for series in recording.runner for at, _ in series.points)
    return max((at for at in times if at <= recording.until), default=recording.until)


def service_of(
    recording: Recording, at: float, policy: BaselinePolicy, thresholds: Limits
) -> ServiceBaseline | None:
    """The service baseline of the window that ends at `at` (unix seconds); None when Prometheus
    gave no answer. Pure, so that it can be derived again from the recorded samples."""
    if recording.outage:
        return None
    measured = measure(recording, at, seconds(policy.window), thresholds)
    errors, p95 = own_limits(measured, policy.error_rate_increase, policy.p95_increase)
    return ServiceBaseline(
        window=policy.window,
        requests=measured.requests,
        failed=measured.failed,
        timed=measured.timed,
        p95_latency=measured.p95,
        error_rate_limit=errors,
        p95_limit=p95,
    )


def _book(process: ProcessView | None) -> BookBaseline | None:
    if process is None:
        return None
    positions = [
        PositionBaseline(venue=venue, symbol=symbol, quantity=quantity)
        for venue, symbol, quantity in process.positions
    ]
    return BookBaseline(
        generation=process.snapshot_generation,
        sha256=process.snapshot_sha256,
        positions=tuple(positions[:MOST_POSITIONS]),
        positions_left_out=max(0, len(positions) - MOST_POSITIONS),
    )


def kafka_of(bus: BusView) -> KafkaBaseline | None:
    """`bus` as it is recorded; None before brokers first answered."""
    if bus.at is None:
        return None
    partitions = partitions_of(bus)
    return KafkaBaseline(
        at=timestamp(bus.at),
        problem=bus.problem,
        partitions=partitions[:MOST_PARTITIONS],
        partitions_left_out=bus.left_out + max(0, len(partitions) - MOST_PARTITIONS),
    )


def partitions_of(bus: BusView) -> tuple[PartitionBaseline, ...]:
    """Every partition that is reported."""
    return tuple(
        PartitionBaseline(
            topic=one.topic, partition=one.partition, end=one.end, committed=dict(one.committed)
        )
        for one in bus.partitions
    )


def postgres_of(database: DatabaseView) -> PostgresBaseline | None:
    """`database` as it is recorded; None before it first answered."""
    if database.at is None:
        return None
    return PostgresBaseline(
        at=timestamp(database.at),
        problem=database.problem,
        primary=database.primary,
        system=database.system,
        timeline=database.timeline,
        lsn=database.lsn,
        audit_rows=database.audit_rows,
        replicas=tuple(ReplicaBaseline(**asdict(one)) for one in database.replicas),
    )


def tighten(cutover: ReleaseCutover, thresholds: Limits) -> Limits:
    """`thresholds`, tightened by the baseline that was recorded."""
    service = _service(cutover)
    return (
        tightened(thresholds, service.error_rate_limit, service.p95_limit)
        if service
        else thresholds
    )


def remaining_degradation(cutover: ReleaseCutover, tally: Tally) -> str:
    """A remark where even the previous release fails more than before: then the new release isn't
    the cause. "" otherwise."""
    service = _service(cutover)
    limit = service.error_rate_limit if service else None
    if limit is None or not beyond_chance(tally.failed, tally.requests, limit):
        return ""
    return (
        f" ({tally.failed:g} of its {tally.requests:g} requests failed, more than before the"
        " cutover: check the venue, too)"
    )


def _service(cutover: ReleaseCutover) -> ServiceBaseline | None:
    baseline = cutover.status.baseline
    return baseline.service if baseline else None
