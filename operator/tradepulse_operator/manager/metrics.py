"""Metrics of the operator itself, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import facts
from tradepulse_operator.clients.kubernetes.http import Call
from tradepulse_operator.common.time import instant

from .key import Key
from .object_metrics import ObjectMetrics

_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400)
#: Cutovers whose phases are remembered as counted.
_REMEMBERED = 1024


class Metrics:
    """Everything that is counted. Labels are few and bounded; `objects` alone names objects."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "tradepulse_operator"
        self._reconciles = Counter(
            f"{name}_reconciles", "Looks at an object.", ("kind", "result"), registry=self.registry
        )
        self._duration = Histogram(
            f"{name}_reconcile_seconds",
            "Duration of a look.",
            ("kind",),
            buckets=_SHORT,
            registry=self.registry,
        )
        self._waited = Histogram(
            f"{name}_queue_wait_seconds",
            "Time from an event to the look.",
            buckets=_SHORT,
            registry=self.registry,
        )
        self._requests = Counter(
            f"{name}_api_requests",
            "Requests to the Kubernetes API; code 0: no answer.",
            ("verb", "kind", "code"),
            registry=self.registry,
        )
        self._steps = Counter(
            f"{name}_steps",
            "Requests of the reconcilers.",
            ("kind", "step"),
            registry=self.registry,
        )
        self._verdicts = Counter(
            f"{name}_verdicts",
            "Verdicts of the guard that were persisted.",
            ("verdict", "guardrail"),
            registry=self.registry,
        )
        self._phases = Histogram(
            f"{name}_cutover_phase_seconds",
            "Time that cutovers spent in a phase, by the phase.",
            ("phase",),
            buckets=_LONG,
            registry=self.registry,
        )
        self._outcomes = Counter(
            f"{name}_cutovers", "Cutovers that ended.", ("phase",), registry=self.registry
        )
        self.queue_depth = Gauge(
            f"{name}_queue_depth", "Objects that wait for a look.", registry=self.registry
        )
        self.queue_age = Gauge(
            f"{name}_queue_age_seconds",
            "Time that the first of them has waited.",
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            f"{name}_loop_lag_seconds", "Lateness of the event loop.", registry=self.registry
        )
        self.watch_lag = Gauge(
            f"{name}_watch_lag_seconds",
            "Time since the watch owes an event that a list has shown.",
            registry=self.registry,
        )
        self.leader = Gauge(
            f"{name}_leader", "1 while this process holds the lease.", registry=self.registry
        )
        self.objects = ObjectMetrics(self.registry)
        self._counted: dict[str, int] = {}

    def waited(self, seconds: float) -> None:
        """A key's turn came after that long."""
        self._waited.observe(max(0.0, seconds))

    def worked(self, key: object, result: str, seconds: float) -> None:
        """A piece of work ended."""
        kind = key.kind if isinstance(key, Key) else ""
        self._reconciles.labels(kind, result).inc()
        self._duration.labels(kind).observe(seconds)

    def requested(self, call: Call, code: int) -> None:
        """A request to the Kubernetes API was answered."""
        self._requests.labels(call.verb, call.kind, str(code)).inc()

    def stepped(self, key: Key, step: str) -> None:
        """A reconciler asked for `step`."""
        self._steps.labels(key.kind, step).inc()

    def advanced(self, cutover: ReleaseCutover) -> None:
        """Count the phases of a cutover that ended since it was last seen.

        A process that starts counts nothing of what ended before: whoever ran then did.
        """
        phases, uid = cutover.status.phases, cutover.metadata.uid
        seen = self._counted.pop(uid, len(phases))
        self._counted[uid] = len(phases)
        while len(self._counted) > _REMEMBERED:
            self._counted.pop(next(iter(self._counted)))
        for number in range(max(seen, 1), len(phases)):
            before, after = phases[number - 1], phases[number]
            spent = instant(after.at) - instant(before.at)
            self._phases.labels(before.phase.value).observe(max(0.0, spent))
            if facts(after.phase).final:
                self._outcomes.labels(after.phase.value).inc()

    def judged(self, verdict: str, guardrail: str) -> None:
        """A verdict was persisted."""
        self._verdicts.labels(verdict, guardrail).inc()

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self.registry)
