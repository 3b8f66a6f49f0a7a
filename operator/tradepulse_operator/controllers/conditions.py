"""Conditions of a status: set one, remove one, read one. Both reconcilers use this."""

from __future__ import annotations

from collections.abc import Iterable

from tradepulse_operator.api.meta import Condition, ConditionStatus
from tradepulse_operator.common.time import timestamp

Conditions = tuple[Condition, ...]

#: Limit of Kubernetes API conventions; a longer message would be refused by the API server.
_LONGEST_MESSAGE = 32768


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of type `kind`, if there is one."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition of type `kind` is True."""
    condition = find_condition(conditions, kind)
    return condition is not None and condition.status is ConditionStatus.TRUE


def set_condition(
    conditions: Conditions,
    kind: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    now: float,
    generation: int,
) -> Conditions:
    """`conditions` with this one set.

    `lastTransitionTime` moves only when the truth value does; a new reason or message keeps it.
    The order of types stays, so that an unchanged condition makes an unchanged status.
    """
    old = find_condition(conditions, kind)
    kept = old is not None and old.status is status
    new = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:_LONGEST_MESSAGE],
        last_transition_time=old.last_transition_time if old and kept else timestamp(now),
        observed_generation=generation,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if c.type == kind else c for c in conditions)


def drop_condition(conditions: Conditions, kind: str) -> Conditions:
    """`conditions` without the one of type `kind` (kstatus: no abnormal one is ever False)."""
    return tuple(c for c in conditions if c.type != kind)
