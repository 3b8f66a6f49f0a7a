"""Event bus and database against the baseline: what is a difference, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.cutovers import (
    NOW,
    PHASE,
    SOURCE,
    TARGET,
    Samples,
    cutover,
    pod,
    runner,
    seen,
    status,
    written,
)
from tests.support.operator.streams import (
    BUS,
    BUS_SPEC,
    DATABASE,
    DATABASE_SPEC,
    FILLS,
    ORDERS,
    bus,
    telling,
)
from tradepulse_operator.api.baseline import MOST_DIFFERENCES, MOST_PARTITIONS, Baseline
from tradepulse_operator.api.cutover_status import ReleaseCutoverStatus
from tradepulse_operator.api.meta import Condition
from tradepulse_operator.api.reasons import ConditionType
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.cutover.baseline import kafka_of, postgres_of
from tradepulse_operator.controllers.cutover.reconcile import decide
from tradepulse_operator.controllers.data_services import kafka as streams_kafka
from tradepulse_operator.controllers.data_services import postgres as streams_postgres
from tradepulse_operator.controllers.data_services.compare import FRESH
from tradepulse_operator.controllers.events import WARNING, cutover_events
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    PartitionView,
    ReplicaView,
)
from tradepulse_operator.controllers.observed.views import CutoverObserved, ProcessView

OK = Samples("ok").recording()
RUNNER = runner(eventBus=BUS_SPEC, database=DATABASE_SPEC)
BEFORE = Baseline(at=timestamp(NOW), kafka=kafka_of(BUS), postgres=postgres_of(DATABASE))
GONE = PartitionView(ORDERS, 1, -1)
REMADE = PartitionView(ORDERS, 0, 3, {"recorder": 3, "settlement": 3})


def kafka(
    now: BusView, max_lag: int | None = None, *, config_changed: bool = False
) -> tuple[str, ...]:
    assert BEFORE.kafka
    return tuple(
        streams_kafka.differences(BEFORE.kafka, now, max_lag, config_changed=config_changed)
    )


def postgres(
    now: DatabaseView, max_lag: float | None = None, *, config_changed: bool = False
) -> tuple[str, ...]:
    assert BEFORE.postgres
    return tuple(
        streams_postgres.differences(BEFORE.postgres, now, max_lag, config_changed=config_changed)
    )


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (BUS, []),
        (bus(PartitionView(ORDERS, 1, 900), PartitionView(ORDERS, 2, 0)), []),
        (bus(GONE), [f"{ORDERS}/1 is gone, it ended at 7"]),
        (bus(PartitionView(ORDERS, 1, 6)), [f"{ORDERS}/1 ends at 6, it ended at 7: records"]),
        (
            bus(PartitionView(FILLS, 0, 40, {"settlement": 37})),
            [f"reader settlement of {FILLS}/0 was set back from 38 to 37: it reads again"],
        ),
        (
            bus(REMADE),
            [
                f"{ORDERS}/0 ends at 3, it ended at 120: records were lost, or the topic was made",
                f"reader recorder of {ORDERS}/0 was set back from 120 to 3: it reads again",
                f"reader settlement of {ORDERS}/0 was set back from 118 to 3: it reads again",
            ],
        ),
        (
            bus(PartitionView(FILLS, 0, 40)),
            [f"reader settlement of {FILLS}/0 has no offset any more, it was at 38"],
        ),
        (bus(problem="no broker answers"), ["Kafka doesn't take the runner's events: no broker"]),
        # Those told are the first 256: one that may be behind them isn't known to be gone.
        (bus(GONE, left_out=3), []),
        (bus(PartitionView(FILLS, 0, -1), left_out=3), [f"{FILLS}/0 is gone"]),
    ],
)
def test_of_kafka(now: BusView, says: list[str]) -> None:
    found = kafka(now)
    assert len(found) == len(says), found
    assert all(one.startswith(said) for one, said in zip(found, says, strict=True)), found


def test_a_reader_may_lag_as_far_as_the_policy_says() -> None:
    assert kafka(BUS, 2) == ()
    assert kafka(BUS, 1) == (
        f"reader settlement of {FILLS}/0 is 2 records behind, more than baseline.kafka.maxLag, 1",
        f"reader settlement of {ORDERS}/0 is 2 records behind, more than baseline.kafka.maxLag, 1",
    )


def test_what_another_configuration_leaves_out_is_not_gone() -> None:
    assert kafka(bus(GONE, PartitionView(FILLS, 0, 40)), config_changed=True) == ()
    assert len(kafka(bus(REMADE), config_changed=True)) == 3
    assert postgres(replace(DATABASE, replicas=()), config_changed=True) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, []),
        ({"lsn": "1/0", "audit_rows": 501}, []),
        ({"lsn": "0/16B3747"}, ["the WAL ends at 0/16B3747, it ended at 0/16B3748: the database"]),
        ({"lsn": "no"}, []),
        ({"timeline": None, "lsn": "0/0"}, []),
        ({"timeline": 3, "lsn": "0/1", "primary": "db-b:5432", "replicas": ()}, []),
        ({"timeline": 1}, ["the primary is of timeline 1, it was of 2: a server of before"]),
        ({"system": "99", "lsn": "0/0"}, ["the database is another one: system 99, it was 7412"]),
        ({"system": ""}, []),
        ({"audit_rows": 499}, ["the audit trail has 499 rows, it had 500"]),
        ({"audit_rows": None}, []),
        ({"replicas": ()}, ["replica db-b:5432 is gone"]),
        (
            {"replicas": (ReplicaView("db-b:5432", problem="it doesn't answer"),)},
            ["replica db-b:5432: it doesn't answer"],
        ),
        ({"problem": "no server answers"}, ["PostgreSQL doesn't take the audit trail: no server"]),
    ],
)
def test_of_postgres(changes: dict[str, Any], says: list[str]) -> None:
    found = postgres(replace(DATABASE, **changes))
    assert len(found) == len(says), found
    assert all(one.startswith(said) for one, said in zip(found, says, strict=True)), found


def test_a_replica_may_lag_as_far_as_the_policy_says() -> None:
    assert postgres(DATABASE, 0.5) == ()
    assert postgres(DATABASE, 0.4) == (
        "replica db-b:5432 is 0.5 s behind, more than baseline.postgres.maxReplicaLag, 0.4 s",
    )
    unknown = replace(DATABASE, replicas=(ReplicaView("db-b:5432"),))
    assert postgres(unknown, 0.4) == ()


def test_a_failover_is_a_remark_and_its_old_primary_a_difference() -> None:
    down = ReplicaView("db-a:5432", problem="it doesn't answer")
    now = replace(DATABASE, timeline=3, primary="db-b:5432", replicas=(down,))
    assert postgres(now) == ("replica db-a:5432: it doesn't answer",)
    assert BEFORE.postgres
    assert tuple(streams_postgres.remarks(BEFORE.postgres, now)) == (
        "there was a failover: timeline 3, it was 2; the primary is db-b:5432, it was db-a:5432",
    )


def test_a_replica_that_had_its_problem_before_is_a_remark() -> None:
    down = replace(DATABASE, replicas=(ReplicaView("db-b:5432", problem="it doesn't answer"),))
    before = postgres_of(down)
    assert before
    assert tuple(streams_postgres.differences(before, down)) == ()
    assert tuple(streams_postgres.remarks(before, down)) == (
        "db-b:5432 has a problem as before: it doesn't answer",
    )


# --- whatever is told -----------------------------------------------------------------------------

_OFFSETS = st.integers(0, 2**63 - 1)
_GROUPS = st.dictionaries(st.sampled_from(["a", "b", "c"]), _OFFSETS)
_PARTITIONS = st.dictionaries(
    st.tuples(st.sampled_from(["s", "t"]), st.integers(0, 3)),
    st.tuples(_OFFSETS, _GROUPS),
    max_size=6,
).map(lambda found: tuple(PartitionView(*at, *rest) for at, rest in sorted(found.items())))


@given(before=_PARTITIONS, now=_PARTITIONS)
def test_each_offset_that_went_back_is_reported_and_no_other(
    before: tuple[PartitionView, ...], now: tuple[PartitionView, ...]
) -> None:
    was = kafka_of(BusView(at=NOW, partitions=before))
    assert was
    found = tuple(streams_kafka.differences(was, BusView(at=NOW, partitions=now)))
    there = {(one.topic, one.partition): one for one in now}
    expected = 0
    for one in before:
        at = there.get((one.topic, one.partition))
        if at is None:
            expected += 1
            continue
        expected += at.end < one.end
        expected += sum(at.committed.get(g, -1) < offset for g, offset in one.committed.items())
    assert len(found) == expected, found


@given(now=_PARTITIONS, growth=st.integers(0, 1000))
def test_what_only_grows_never_differs(now: tuple[PartitionView, ...], growth: int) -> None:
    was = kafka_of(BusView(at=NOW, partitions=now))
    grown = tuple(
        PartitionView(
            one.topic,
            one.partition,
            one.end + growth,
            {group: offset + growth for group, offset in one.committed.items()},
        )
        for one in now
    )
    assert was
    assert tuple(streams_kafka.differences(was, BusView(at=NOW, partitions=grown))) == ()


_DATABASES = st.builds(
    DatabaseView,
    at=st.just(NOW),
    system=st.sampled_from(["", "1", "2"]),
    timeline=st.none() | st.integers(1, 3),
    lsn=st.sampled_from(["", "0/1", "0/FFFFFFFF", "1/0"]),
    audit_rows=st.none() | st.integers(0, 3),
)


@given(before=_DATABASES, now=_DATABASES)
def test_a_database_is_set_back_one_way_at_most(before: DatabaseView, now: DatabaseView) -> None:
    was, back = postgres_of(before), postgres_of(now)
    assert was
    assert back
    there = tuple(streams_postgres.differences(was, now))
    again = tuple(streams_postgres.differences(back, before))
    one_way = [
        text
        for text in there
        if "another one" not in text
        and any(text.split()[:2] == other.split()[:2] for other in again)
    ]
    assert one_way == []
    assert tuple(streams_postgres.differences(was, before)) == ()


# --- at the end of a move -------------------------------------------------------------------------


def verified(process: ProcessView | None, **changes: Any) -> CutoverObserved:
    """The look that finds the previous release good again."""
    found = status(PHASE.VERIFYING, 300, baseline=changes.pop("baseline", BEFORE))
    world = {"runner": RUNNER, "pod": pod(SOURCE), "recording": OK, **changes}
    return seen(cutover(found, **world.pop("spec", {})), process=process, **world)


def intact(found: ReleaseCutoverStatus) -> Condition:
    condition = find_condition(found.conditions, ConditionType.STREAMS_INTACT)
    assert condition
    return condition


def test_a_rollback_tells_that_its_streams_are_as_they_were() -> None:
    after = written(decide(verified(telling())))
    assert after.phase is PHASE.ROLLED_BACK
    assert after.streams
    assert (after.streams.differences, after.streams.unknown) == ((), ())
    assert intact(after).status == "True"
    assert "status.streams" not in after.message
    assert [event.reason for event in cutover_events(cutover(after))][-1] == "RolledBack"


def test_what_differs_is_reported_and_holds_nothing_up() -> None:
    after = written(decide(verified(telling(bus(REMADE, GONE)))))
    assert after.phase is PHASE.ROLLED_BACK
    assert after.streams
    assert len(after.streams.differences) == 4
    assert "see status.streams" in after.message
    condition = intact(after)
    assert (condition.status, condition.reason) == ("False", "StreamsDiffer")
    assert f"{ORDERS}/0 ends at 3, it ended at 120" in condition.message
    assert condition.message.endswith("; and 1 more")
    events = [event for event in cutover_events(cutover(after)) if event.reason == "StreamsDiffer"]
    assert [event.type for event in events] == [WARNING]
    # Told again at each look, created once: its key names the transition.
    assert events[0].key in {event.key for event in cutover_events(cutover(after))}


@pytest.mark.parametrize(
    ("process", "says"),
    [
        (
            None,
            ("Kafka: the release that runs reports", "PostgreSQL: the release that runs reports"),
        ),
        (telling(None), ("Kafka: the release that runs reports nothing of it",)),
        (
            telling(bus(at=NOW - FRESH - 1, problem="no broker answers")),
            ("Kafka: no broker answers",),
        ),
        (telling(bus(at=None)), ("Kafka: it hasn't answered the runner within 60 s",)),
        (
            telling(database=replace(DATABASE, at=NOW - FRESH - 1)),
            ("PostgreSQL: it hasn't answered the runner within 60 s",),
        ),
    ],
)
def test_what_cannot_be_compared_is_unknown_and_holds_nothing_up(
    process: ProcessView | None, says: tuple[str, ...]
) -> None:
    after = written(decide(verified(process)))
    assert after.phase is PHASE.ROLLED_BACK
    assert after.streams
    assert len(after.streams.unknown) == len(says)
    for told, said in zip(after.streams.unknown, says, strict=True):
        assert told.startswith(said)
    assert (intact(after).status, intact(after).reason) == ("Unknown", "NotCompared")
    assert len(cutover_events(cutover(after))) == len(after.phases)


def test_a_bus_that_came_later_has_nothing_to_be_compared_with() -> None:
    bare = BEFORE.model_copy(update={"kafka": None})
    after = written(decide(verified(telling(), baseline=bare)))
    assert after.streams
    assert after.streams.unknown[0].startswith("Kafka: nothing was reported before the halt")


def test_a_runner_without_either_has_no_such_condition() -> None:
    bare = Baseline(at=timestamp(NOW))
    after = written(decide(verified(telling(None, None), runner=runner(), baseline=bare)))
    assert after.phase is PHASE.ROLLED_BACK
    assert after.streams is None
    assert find_condition(after.conditions, ConditionType.STREAMS_INTACT) is None


def test_the_policys_lags_count() -> None:
    spec = {"baseline": {"kafka": {"maxLag": 1}, "postgres": {"maxReplicaLag": "100ms"}}}
    after = written(decide(verified(telling(), spec=spec)))
    assert after.streams
    assert len(after.streams.differences) == 3


def promoted(process: ProcessView, **changes: Any) -> ReleaseCutoverStatus:
    found = status(PHASE.BAKING, 600, baseline=BEFORE, **changes)
    observed = seen(cutover(found), runner=RUNNER, pod=pod(), process=process, recording=OK)
    return written(decide(observed))


def test_a_promotion_tells_it_too() -> None:
    after = promoted(telling(bus(REMADE)))
    assert after.phase is PHASE.SUCCEEDED
    assert intact(after).status == "False"
    assert SOURCE
    reconfigured = TARGET.model_copy(update={"config_hash": "other"})
    for target, differs in ((TARGET, "False"), (reconfigured, "True")):
        after = promoted(telling(bus(GONE)), target=target)
        assert intact(after).status == differs, target


def test_a_flood_is_bounded_and_counted() -> None:
    many = tuple(PartitionView("t" * 249, n, 10, {f"g{n}" * 60: 5}) for n in range(256))
    told = telling(replace(BUS, partitions=many, left_out=9))
    observed = seen(
        cutover(status(PHASE.PREFLIGHT)),
        runner=RUNNER,
        pod=pod(SOURCE),
        process=told,
        recording=OK,
    )
    halting = written(decide(observed))
    assert halting.phase is PHASE.HALTING
    assert halting.baseline
    assert halting.baseline.kafka
    assert len(halting.baseline.kafka.partitions) == MOST_PARTITIONS
    assert halting.baseline.kafka.partitions_left_out == 256 - MOST_PARTITIONS + 9
    after = written(
        decide(verified(telling(replace(BUS, partitions=())), baseline=halting.baseline))
    )
    assert after.streams
    assert len(after.streams.differences) == MOST_DIFFERENCES
    assert after.streams.differences_left_out == MOST_PARTITIONS - MOST_DIFFERENCES
    assert len(after.model_dump_json()) < 64 * 1024


def test_they_are_recorded_with_the_write_that_begins_the_halt() -> None:
    observed = seen(
        cutover(status(PHASE.PREFLIGHT)),
        runner=RUNNER,
        pod=pod(SOURCE),
        process=telling(),
        recording=OK,
    )
    found = written(decide(observed)).baseline
    assert found
    assert (found.kafka, found.postgres) == (BEFORE.kafka, BEFORE.postgres)
    silent = replace(observed, process=telling(bus(at=None), replace(DATABASE, at=None)))
    found = written(decide(silent)).baseline
    assert found
    assert (found.kafka, found.postgres) == (None, None)
