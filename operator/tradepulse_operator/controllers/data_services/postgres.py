"""The database at the end of a cutover, compared with the baseline. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tradepulse_operator.api.baseline import PostgresBaseline
from tradepulse_operator.controllers.observed.data_services import DatabaseView, ReplicaView

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def differences(
    before: PostgresBaseline,
    now: DatabaseView,
    max_lag: float | None = None,
    *,
    config_changed: bool = False,
) -> Iterator[str]:
    """Differences from the baseline as texts.

    `max_lag`: seconds that a replica may be behind. `config_changed`: another configuration runs
    now, so a server that isn't reported any more may have been left out on purpose.
    """
    if now.problem and not before.problem:
        yield f"PostgreSQL doesn't take the audit trail: {now.problem}"
    if _other(before, now):
        yield f"the database is another one: system {now.system}, it was {before.system}"
    else:
        yield from _set_back(before, now)
    if _less(now.audit_rows, before.audit_rows):
        yield (
            f"the audit trail has {now.audit_rows} rows, it had {before.audit_rows}: check whether"
            " the runner still sends what is missing"
        )
    yield from _replicas(before, now, max_lag, config_changed=config_changed)


def remarks(before: PostgresBaseline, now: DatabaseView) -> Iterator[str]:
    """Changes that lost no data, as texts."""
    if _other(before, now):
        return
    if before.timeline is not None and now.timeline is not None and now.timeline > before.timeline:
        yield (
            f"there was a failover: timeline {now.timeline}, it was {before.timeline}; the primary"
            f" is {now.primary or 'unknown'}, it was {before.primary or 'unknown'}"
        )
    troubled = {one.host: one.problem for one in before.replicas}
    for one in now.replicas:
        if one.problem and troubled.get(one.host):
            yield f"{one.host} has a problem as before: {one.problem}"


def _other(before: PostgresBaseline, now: DatabaseView) -> bool:
    return bool(before.system and now.system and before.system != now.system)


def _set_back(before: PostgresBaseline, now: DatabaseView) -> Iterator[str]:
    if before.timeline is None or now.timeline is None:
        return
    if now.timeline < before.timeline:
        yield (
            f"the primary is of timeline {now.timeline}, it was of {before.timeline}: a server of"
            " before the failover is written to again"
        )
    same = now.timeline == before.timeline
    if same and _less(position(now.lsn), position(before.lsn)):
        yield f"the WAL ends at {now.lsn}, it ended at {before.lsn}: the database was set back"


def _less(now: int | None, before: int | None) -> bool:
    """Whether it is known to be less."""
    return now is not None and before is not None and now < before


def position(lsn: str) -> int | None:
    """Where in the WAL `lsn` is, in bytes; None for text that is no LSN."""
    match = _LSN.fullmatch(lsn)
    return int(match[1], 16) << 32 | int(match[2], 16) if match else None


def _replicas(
    before: PostgresBaseline, now: DatabaseView, max_lag: float | None, *, config_changed: bool
) -> Iterator[str]:
    there = {one.host for one in now.replicas} | {now.primary}
    troubled = {one.host for one in before.replicas if one.problem}
    for was in before.replicas:
        if was.host not in there and not config_changed:
            yield f"replica {was.host} is gone"
    for one in now.replicas:
        if one.problem and one.host not in troubled:
            yield f"replica {one.host}: {one.problem}"
        elif max_lag is not None and behind(one, max_lag):
            yield (
                f"replica {one.host} is {one.lag_seconds:g} s behind, more than"
                f" baseline.postgres.maxReplicaLag, {max_lag:g} s"
            )


def behind(one: ReplicaView, max_lag: float) -> bool:
    """Whether it is known to be further behind than that many seconds."""
    return one.lag_seconds is not None and one.lag_seconds > max_lag
