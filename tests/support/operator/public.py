"""Every reason that a reconciler writes is one that the API reference explains."""

from __future__ import annotations

from collections.abc import Iterable

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.meta import Condition
from tradepulse_operator.api.reasons import REASONS, ConditionType
from tradepulse_operator.api.runner_status import RunnerPhase

_TYPES = {str(kind) for kind in ConditionType}
_REASONS = {
    *(str(word) for words in REASONS for word in words),
    *map(str, CutoverPhase),
    *map(str, RunnerPhase),
}


def assert_explained(conditions: Iterable[Condition]) -> None:
    """Fails for a type or a reason that is in no catalogue."""
    for one in conditions:
        assert one.type in _TYPES, one
        assert one.reason in _REASONS, one
