"""Series by object, for alerts that must say which runner or cutover is meant.

They are as many as there are runners and open cutovers, and go with them. The labels are not called
`namespace` and `pod`: those are the operator's own in Prometheus.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import VerdictKind
from tradepulse_operator.api.meta import ConditionStatus
from tradepulse_operator.api.phases import final
from tradepulse_operator.api.reasons import ConditionType
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.cutover.status import expected_end

from .key import Key

#: Conditions of a runner that are shown, whether they are there or not.
CONDITIONS = (
    ConditionType.READY,
    ConditionType.TRADING_ENABLED,
    ConditionType.KILL_SWITCH,
    ConditionType.RELEASE_DRIFT,
    ConditionType.MONITORED,
    ConditionType.DRILL_CURRENT,
    ConditionType.IMAGE_MOVED,
    ConditionType.STALLED,
)
#: -1: there is no such condition.
_VALUES = {ConditionStatus.TRUE: 1.0, ConditionStatus.FALSE: 0.0, ConditionStatus.UNKNOWN: -1.0}


class ObjectMetrics:
    """Gauges that follow the status of each object."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("runner_namespace", "runner")
        self._conditions = Gauge(
            "tradepulse_operator_runner_condition",
            "Status of a runner's condition: 1 True, 0 False, -1 Unknown or absent.",
            (*labels, "type"),
            registry=registry,
        )
        self._drilled = Gauge(
            "tradepulse_operator_drill_last_success_timestamp_seconds",
            "When the last successful kill-switch drill ended.",
            labels,
            registry=registry,
        )
        self._undecided = Gauge(
            "tradepulse_operator_cutover_undecided",
            "1 while the guard's latest verdict on an open cutover is unknown.",
            (*labels, "cutover"),
            registry=registry,
        )
        self._phases = Gauge(
            "tradepulse_operator_cutover_phase_started_timestamp_seconds",
            "When an open cutover entered its current phase.",
            (*labels, "cutover", "phase"),
            registry=registry,
        )
        self._ends = Gauge(
            "tradepulse_operator_cutover_phase_expected_end_timestamp_seconds",
            "Unix time by which an open cutover leaves the phase that it is in; no series while it"
            " waits for people or for evidence, or while its runner is suspended.",
            (*labels, "cutover", "phase"),
            registry=registry,
        )
        self._cutovers: dict[Key, tuple[str, str, str]] = {}

    def runner(self, runner: TradingRunner) -> None:
        """What the status of a runner says."""
        meta = runner.metadata
        values = {item.type: _VALUES[item.status] for item in runner.status.conditions}
        for kind in CONDITIONS:
            self._conditions.labels(meta.namespace, meta.name, kind).set(values.get(kind, -1.0))
        last = runner.status.last_drill
        if last is not None and last.passed_at:
            self._drilled.labels(meta.namespace, meta.name).set(instant(last.passed_at))

    def not_understood(self, key: Key) -> None:
        """The runner can't be parsed: it waits for a person, whatever its conditions said last."""
        self._conditions.labels(key.namespace, key.name, "Stalled").set(1.0)

    def cutover(self, key: Key, cutover: ReleaseCutover) -> None:
        """What the status of a cutover says; nothing once it has ended."""
        self.forget(key)
        status = cutover.status
        if final(status):
            return
        labels = (key.namespace, cutover.spec.runner, key.name)
        self._cutovers[key] = labels
        unknown = status.verdict is not None and status.verdict.verdict is VerdictKind.UNKNOWN
        self._undecided.labels(*labels).set(float(unknown))
        if status.phases:
            entered = status.phases[-1]
            self._phases.labels(*labels, entered.phase.value).set(instant(entered.at))
            end = expected_end(cutover)
            if end is not None:
                self._ends.labels(*labels, entered.phase.value).set(end)

    def forget(self, key: Key) -> None:
        """The object is gone, and so are its series."""
        if labels := self._cutovers.pop(key, None):
            namespace, runner, name = labels
            self._undecided.remove(*labels)
            match = {"runner_namespace": namespace, "runner": runner, "cutover": name}
            self._phases.remove_by_labels(match)
            self._ends.remove_by_labels(match)
        if key.kind == TradingRunner.KIND:
            match = {"runner_namespace": key.namespace, "runner": key.name}
            self._conditions.remove_by_labels(match)
            self._drilled.remove_by_labels(match)
