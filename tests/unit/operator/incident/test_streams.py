"""Event bus and database in the report: before and now, side by side, in words and raw."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.support.operator.cutovers import NOW
from tests.support.operator.evidence import cutover, evidence
from tests.support.operator.streams import BUS, DATABASE, FILLS, ORDERS, bus, telling
from tradepulse_operator.api.baseline import Baseline, StreamsRecord
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.baseline import kafka_of, postgres_of
from tradepulse_operator.controllers.observed.data_services import BusView, PartitionView
from tradepulse_operator.incident import bundle
from tradepulse_operator.incident.parts import LIMITS

REMADE = PartitionView(ORDERS, 0, 3, {"recorder": 3, "settlement": 3})


def moved(phase: str = "RollingBack", before: BusView = BUS, **changes: Any) -> ReleaseCutover:
    found = cutover(phase)
    baseline = Baseline(at=timestamp(NOW), kafka=kafka_of(before), postgres=postgres_of(DATABASE))
    status = found.status.model_copy(update={"baseline": baseline, **changes})
    return found.model_copy(update={"status": status})


def filed(phase: str = "RollingBack", now: BusView = BUS, **changes: Any) -> dict[str, str]:
    """The parts of a report on a process that tells this."""
    final = phase != "RollingBack"
    known = {"cutover": moved(phase), "at": NOW, "final": final, **changes}
    data: dict[str, str] = bundle.build(evidence(process=telling(now), **known))["data"]
    return data


def test_a_person_sees_before_next_to_now_and_what_differs() -> None:
    text = filed(now=bus(REMADE))["report.md"]
    for part in (
        "## Event bus and database",
        f"- Differs: {ORDERS}/0 ends at 3, it ended at 120: records were lost, or the topic was",
        f"| {ORDERS}/0 | 120 | 3 | settlement | 118 | 3 | 0 |",
        f"| {FILLS}/0 | 40 | 40 | settlement | 38 | 38 | 2 |",
        f"| {ORDERS}/1 | 7 | 7 |  |  |  |  |",
        "| System identifier | 7412 | 7412 |",
        "| End of the WAL | 0/16B3748 | 0/16B3748 |",
        "| Replica db-b:5432 | behind by 0.5 s, 0 bytes | behind by 0.5 s, 0 bytes |",
    ):
        assert part in text
    assert text.index(f"{ORDERS}/0 | 120") < text.index(f"{FILLS}/0 | 40"), "what differs is first"


def test_what_the_target_leaves_out_on_purpose_is_not_gone() -> None:
    """The process of the first stage is the target's, whose configuration is another one here."""
    gone = PartitionView(ORDERS, 1, -1)
    assert "Differs:" not in filed(now=bus(gone))["report.md"]
    halted = filed("Halted", now=bus(gone))["report.md"]
    assert f"- Differs: {ORDERS}/1 is gone, it ended at 7." in halted


def test_nothing_differs_nothing_is_said_to() -> None:
    text = filed()["report.md"]
    assert "- Nothing differs: offsets, positions and replicas are as before" in text
    assert "Differs:" not in text


def test_without_either_there_is_no_part() -> None:
    data = bundle.build(evidence())["data"]
    assert "Neither an event bus nor a database was reported." in data["report.md"]
    assert "streams.json" not in data


def test_a_process_that_is_silent_leaves_before_to_be_seen() -> None:
    data = bundle.build(evidence(cutover=moved(), at=NOW, process=None))["data"]
    assert f"| {ORDERS}/0 | 120 |  | settlement | 118 |  |  |" in data["report.md"]
    assert "Not compared: Kafka: the release that runs reports nothing of it." in data["report.md"]
    assert json.loads(data["streams.json"])["now"] == {"kafka": None, "postgres": None}


def test_the_final_report_says_what_was_recorded_at_the_end() -> None:
    """What a later look would find is not what the rollback was closed with."""
    ended = StreamsRecord(at=timestamp(NOW), differences=("x is gone",), differences_left_out=2)
    text = filed("RolledBack", cutover=moved("RolledBack", streams=ended))["report.md"]
    assert "- Differs: x is gone." in text
    assert "- Differs: 2 further differences are not listed." in text
    assert "Event bus and database: they differ from the baseline, see above." in text


def test_every_offset_and_lag_is_in_the_raw_part_of_both_stages() -> None:
    data = filed(now=bus(REMADE))
    found = json.loads(data["streams.json"])
    orders = next(one for one in found["before"]["kafka"]["partitions"] if one["topic"] == ORDERS)
    assert (orders["end"], orders["committed"], orders["lag"]) == (
        120,
        {"recorder": 120, "settlement": 118},
        {"recorder": 0, "settlement": 2},
    )
    assert found["now"]["postgres"]["lsn"] == "0/16B3748"
    assert len(found["differences"]) == 3
    # Offsets are in one place: the record of the cutover keeps its room for the rest.
    kafka = json.loads(data["cutover.json"])["status"]["baseline"]["kafka"]
    assert "partitions" not in kafka
    assert "final-streams.json" in filed("RolledBack")


def test_a_flood_stays_json_and_counts_what_it_leaves_out() -> None:
    readers = {f"group-{n}-{'x' * 100}": n for n in range(8)}
    many = tuple(PartitionView("t" * 150, n, 10**12, readers) for n in range(256))
    flood = replace(BUS, partitions=many)
    known = moved(before=replace(BUS, partitions=many[:64]))
    data = filed(now=flood, cutover=known)
    assert len(data["streams.json"].encode()) <= LIMITS["streams.json"]
    found = json.loads(data["streams.json"])
    for part, told in (("before", 64), ("now", 256)):
        kafka = found[part]["kafka"]
        assert kafka["partitions"]
        assert len(kafka["partitions"]) + kafka["partitionsLeftOut"] == told
    assert data["report.md"].startswith("# btc-bbbb-g2"), "the table pushed nothing out"
    assert "more rows are in streams.json" in data["report.md"]
    assert json.loads(data["cutover.json"])["status"]["baseline"]["postgres"]
