"""When drills are due: a cron expression in UTC, and a moment after which it counts."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim


def coming(schedule: str, after: float) -> float:
    """The first instant of `schedule` after `after`; both in unix seconds."""
    return next(CronSim(schedule, _datetime(after))).timestamp()


def missed(schedule: str, after: float, now: float) -> float | None:
    """The newest instant of `schedule` after `after` and not after `now`; None: nothing is due.

    The newest, so that however many went by, one is made up for.
    """
    # Backwards, cronsim begins before the time that it is given.
    newest = next(CronSim(schedule, _datetime(int(now) + 1), reverse=True)).timestamp()
    return newest if newest > after else None


def _datetime(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
