"""A runner with a cutover in a fake cluster, and everything that looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tests.support.fakes.clock import FakeClock
from tests.support.fakes.kube import FakeKube
from tests.support.operator.runner_world import spec as runner_spec
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.spec.drill import DrillAlert
from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.discovery import DiscoveryCache
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.clients.runner_status import Process
from tradepulse_operator.common.names import API_VERSION
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.controllers.observed.views import AlertView, MetricView, ProcessView
from tradepulse_operator.guard.promql import Endpoint, SampleQuery
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.manager.collect_incident import Reporter
from tradepulse_operator.manager.observe import Observer

RUNNER = kinds.ref(kinds.RUNNER, "ns", "btc")
CUTOVER = kinds.ref(kinds.CUTOVER, "ns", "btc-1")
POD = kinds.ref(kinds.POD, "ns", "btc-0")
SOURCE = {"id": "aaaa", "image": "r:1", "configMap": "btc-c1", "configHash": "c1"}
TARGET = {"id": "bbbb", "image": "r:2", "configMap": "btc-c2", "configHash": "c2"}


def runner(**spec: Any) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "TradingRunner",
        "metadata": {"name": "btc", "namespace": "ns"},
        "spec": runner_spec(**{"release": {"image": "r:1"}, **spec}),
    }


def cutover(phase: str = "Baking", **status: Any) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "ReleaseCutover",
        "metadata": {"name": "btc-1", "namespace": "ns"},
        "spec": {"runner": "btc", "guardrails": {"prometheus": "http://prometheus:9090"}},
        "status": {
            "phase": phase,
            "source": SOURCE,
            "target": TARGET,
            "phases": [{"phase": phase, "at": "2027-01-15T08:16:00Z"}],
            **status,
        },
    }


def pod() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "btc-0",
            "namespace": "ns",
            "labels": {"tradepulse.io/runner": "btc", "tradepulse.io/release": "bbbb"},
        },
        "spec": {"containers": [{"name": "runner", "image": "r:2"}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "containerStatuses": [{"name": "runner", "state": {"running": {}}, "restartCount": 1}],
        },
    }


def config_map(name: str, text: str, **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ns", "labels": labels},
        "data": {"runner.yaml": text},
    }


class FakeProcess:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.view: ProcessView | None = ProcessView("TRADING")

    async def status(self, _: str) -> ProcessView | None:
        return self.view


class FakePrometheus:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SampleQuery] = []

    async def record(self, question: SampleQuery) -> Recording:
        self.asked.append(question)
        return Recording(question.since, question.until)

    async def engaged(
        self, endpoint: Endpoint, namespace: str, runner: str, at: float
    ) -> MetricView:
        return MetricView(engaged_at=at)


class FakeAlertmanager:
    """Remembers whose alert was looked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def observe(self, wanted: DrillAlert, namespace: str, runner: str) -> AlertView:
        self.asked.append((wanted.alertmanager, namespace, runner))
        return AlertView(taken=7)


class EngineWorld:
    """The fake cluster with an observer and a reporter."""

    def __init__(self, needs: Callable[[ReleaseCutover], bool] = lambda _: True) -> None:
        self.kube, self.clock = FakeKube(), FakeClock()
        self.process, self.prometheus = FakeProcess(), FakePrometheus()
        self.alertmanager = FakeAlertmanager()
        for item in (
            runner(),
            cutover(),
            pod(),
            config_map("btc-c1", "a: 1\n"),
            config_map("btc-c2", "a: 2\n"),
        ):
            self.kube.put(item)
        kube = cast(Kube, self.kube)
        self.served = DiscoveryCache(kube, self.clock)
        self.observer = Observer(
            kube,
            cast(Process, self.process),
            cast(Prometheus, self.prometheus),
            self.clock,
            alertmanager=cast(Alertmanager, self.alertmanager),
            served=self.served,
            needs_recording=needs,
        )
        self.reporter = Reporter(kube, self.observer, self.clock, budget=0.2)
