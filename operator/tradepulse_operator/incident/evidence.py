"""What is known of an incident, before it becomes a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.controllers.observed.views import ProcessView
from tradepulse_operator.guard.limits import Limits
from tradepulse_operator.guard.samples import Recording

EVIDENCE = "evidence"
FINAL = "final"


@dataclass(frozen=True)
class Evidence:
    """Everything that was collected at one time. `at`: unix seconds.

    `logs`, `configs`: name → text (`runner`, `state`, `previous`; `source`, `target`).
    `limits`: by which the target is judged. `baseline`: the samples of before the halt that the
    baseline was measured on. `missing`: part → why it could not be collected.
    """

    cutover: ReleaseCutover
    at: float
    final: bool
    recording: Recording | None = None
    limits: Limits | None = None
    baseline: Recording | None = None
    queries: Mapping[str, str] = field(default_factory=dict)
    process: ProcessView | None = None
    pod: Mapping[str, Any] | None = None
    events: tuple[Mapping[str, Any], ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """evidence or final."""
        return FINAL if self.final else EVIDENCE
