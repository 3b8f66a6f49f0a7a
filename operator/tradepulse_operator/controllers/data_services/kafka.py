"""The event bus at the end of a cutover, compared with the baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tradepulse_operator.api.baseline import KafkaBaseline, PartitionBaseline
from tradepulse_operator.controllers.observed.data_services import BusView, PartitionView


def differences(
    before: KafkaBaseline, now: BusView, max_lag: int | None = None, *, config_changed: bool = False
) -> Iterator[str]:
    """Differences from the baseline as texts, by topic and partition.

    `max_lag`: records that a reader may be behind. `config_changed`: another configuration runs
    now, so a partition or a reader that isn't reported any more may have been left out on purpose.
    """
    if now.problem and not before.problem:
        yield f"Kafka doesn't take the runner's events: {now.problem}"
    known = {(one.topic, one.partition): one for one in now.partitions}
    last = max(known, default=("", 0))
    for was in before.partitions:
        place = was.topic, was.partition
        if place in known:
            yield from _partition(was, known[place], config_changed=config_changed)
        elif not config_changed and (not now.left_out or place < last):
            yield f"{was.topic}/{was.partition} is gone, it ended at {was.end}"
    if max_lag is not None:
        yield from _behind(now, max_lag)


def _partition(
    was: PartitionBaseline, now: PartitionView, *, config_changed: bool
) -> Iterator[str]:
    name = f"{was.topic}/{was.partition}"
    if now.end < was.end:
        yield (
            f"{name} ends at {now.end}, it ended at {was.end}: records were lost, or the topic was"
            " made again"
        )
    for group, offset in sorted(was.committed.items()):
        at = now.committed.get(group)
        if at is None and not config_changed:
            yield f"reader {group} of {name} has no offset any more, it was at {offset}"
        elif at is not None and at < offset:
            yield f"reader {group} of {name} was set back from {offset} to {at}: it reads again"


def _behind(now: BusView, max_lag: int) -> Iterator[str]:
    for one in now.partitions:
        for group, lag in lags(one):
            if lag > max_lag:
                yield (
                    f"reader {group} of {one.topic}/{one.partition} is {lag} records behind, more"
                    f" than baseline.kafka.maxLag, {max_lag}"
                )


def lags(one: PartitionView | PartitionBaseline) -> Iterator[tuple[str, int]]:
    """(consumer group, records that it is behind), by group."""
    for group, offset in sorted(one.committed.items()):
        yield group, max(0, one.end - offset)
