"""Live reads → the observed state for the reconcilers.

Nothing is taken from a cache: a watch may be behind, and a decision on a stale view can run two
writers. Reads go out together; any failure fails the reconciliation, which is retried.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.meta import Meta
from tradepulse_operator.api.read import NotUnderstood, raw, read, text
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.clients.clock import Clock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.discovery import DiscoveryCache
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.clients.runner_status import Process
from tradepulse_operator.common.names import (
    APP_DRILL,
    CONFIG_FILE,
    LABEL_APP,
    LABEL_CUTOVER,
    LABEL_MANAGED_BY,
    LABEL_RUNNER,
    MANAGER,
    auxiliary_policy_name,
    check_pod_name,
    incident_name,
    pod_name,
    pvc_name,
    rehearsal_pod_name,
)
from tradepulse_operator.common.objects import Manifest, Ref, ref_of
from tradepulse_operator.controllers.checklist.checklist import needs_pods
from tradepulse_operator.controllers.drill.live import due_observations
from tradepulse_operator.controllers.observed.auxiliary import auxiliary_view
from tradepulse_operator.controllers.observed.pods import address, drill_view, pod_view
from tradepulse_operator.controllers.observed.views import (
    AlertView,
    AuxiliaryPodView,
    CutoverObserved,
    DrillPodView,
    MetricView,
    ProcessView,
    RunnerObserved,
)
from tradepulse_operator.controllers.runner.raw import RawRunner
from tradepulse_operator.guard.promql import Endpoint
from tradepulse_operator.guard.query import UNCONFIGURED, baseline_query, sample_query
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.incident.bundle import Filed, filed

from .key import Key

T = TypeVar("T")

#: Reports that may not be in a status yet.
_REMEMBERED = 1024

#: Children that carry the runner's own name.
_NAMED = (
    kinds.SERVICE_ACCOUNT,
    kinds.LEASE,
    kinds.ROLE,
    kinds.ROLE_BINDING,
    kinds.SERVICE,
    kinds.STATEFUL_SET,
    kinds.PDB,
    kinds.NETWORK_POLICY,
    kinds.SERVICE_MONITOR,
)


class Observer:
    """Reads the state that one object's reconciliation depends on."""

    def __init__(
        self,
        kube: Kube,
        process: Process,
        prometheus: Prometheus,
        clock: Clock,
        *,
        alertmanager: Alertmanager,
        served: DiscoveryCache,
        default_prometheus: str = "",
        needs_recording: Callable[[ReleaseCutover], bool],
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._kube = kube
        self._process = process
        self._prometheus = prometheus
        self._alertmanager = alertmanager
        self._clock = clock
        self._served = served
        self._default = default_prometheus
        self._needs_recording = needs_recording
        self._nonce = nonce
        #: What this process filed, by the cutover's uid, until the status records it.
        self._filed: dict[str, Filed] = {}

    async def runner(self, key: Key) -> RunnerObserved | None:
        """The observed state of a TradingRunner; None when it is gone. The
        process and what a drill changed are added by
        `with_process_status`. Raises KubeError, and
        NotUnderstood where it or its claimed cutover can't be parsed."""
        namespace, name = key.namespace, key.name
        live = await self._kube.get(kinds.ref(kinds.RUNNER, namespace, name))
        if live is None:
            return None
        runner = read(TradingRunner, live)
        unserved = await self._served.missing_kinds(kinds.SERVICE_MONITOR)
        listed, children, pod, user_config, drills = await asyncio.gather(
            self._cutovers(namespace, name, claimed=runner.status.cutover),
            self._children(namespace, name, unserved),
            self._pod(namespace, name),
            self._user_config(namespace, runner.spec.release.config),
            self._drills(runner),
        )
        return RunnerObserved(
            runner=runner,
            now=self._clock.now(),
            cutovers=listed[0],
            unread_cutovers=listed[1],
            children=children,
            pod=pod_view(pod) if pod else None,
            address=address(pod or {}),
            user_config=user_config,
            drills=drills,
            unserved=frozenset(kind for _, kind in unserved),
        )

    async def raw_runner(self, key: Key, problem: NotUnderstood) -> RawRunner | None:
        """The observed state of a runner that can't be parsed; None when it is gone. Raises
        KubeError."""
        namespace, name = key.namespace, key.name
        manifest = await self._kube.get(kinds.ref(kinds.RUNNER, namespace, name))
        if manifest is None:
            return None
        claimed = text(manifest, "status", "cutover")
        pod, stateful_set, cutover = await asyncio.gather(
            self._pod(namespace, name),
            self._kube.get(kinds.ref(kinds.STATEFUL_SET, namespace, name)),
            _given(
                self._kube.get(kinds.ref(kinds.CUTOVER, namespace, claimed)) if claimed else None
            ),
        )
        return RawRunner(
            manifest=manifest,
            now=self._clock.now(),
            problem=problem,
            cutover=cutover if text(cutover, "spec", "runner") == name else None,
            pod=pod_view(pod) if pod else None,
            stateful_set=stateful_set,
        )

    async def meta(self, key: Key) -> Meta | None:
        """Metadata of a cutover that can't be parsed; None when it is gone. Raises KubeError."""
        live = await self._kube.get(kinds.ref(kinds.CUTOVER, key.namespace, key.name))
        return Meta.model_validate(live["metadata"]) if live else None

    def now(self) -> float:
        """Unix seconds."""
        return self._clock.now()

    async def with_process_status(self, observed: RunnerObserved) -> RunnerObserved:
        """`observed` with the process's status, and of a live drill the metric and the alert."""
        process, (metric, alert) = await asyncio.gather(
            self.process(observed.address), self._drilled(observed.runner)
        )
        return replace(observed, now=self._clock.now(), process=process, metric=metric, alert=alert)

    async def cutover(self, key: Key) -> CutoverObserved | None:
        """The observed state of a ReleaseCutover; None when it is gone. Raises KubeError, and
        NotUnderstood where it can't be parsed itself."""
        namespace = key.namespace
        manifest = await self._kube.get(kinds.ref(kinds.CUTOVER, namespace, key.name))
        if manifest is None:
            return None
        cutover = read(ReleaseCutover, manifest)
        name = cutover.spec.runner
        live = await self._kube.get(kinds.ref(kinds.RUNNER, namespace, name))
        runner, problem = _runner_of(live)
        check, rehearsal, rehearsing = await self._auxiliary_pods(cutover, runner)
        (pod, process), (pvc, sts), target, user_config, report, recording = await asyncio.gather(
            self._running(namespace, name),
            asyncio.gather(
                self._kube.get(kinds.ref(kinds.PVC, namespace, pvc_name(name))),
                self._kube.get(kinds.ref(kinds.STATEFUL_SET, namespace, name)),
            ),
            self._target(cutover),
            self._user_config(namespace, _config_of(cutover, runner)),
            self._report(key),
            self.recording(cutover, runner),
        )
        filing = self.filed(report, cutover)
        return CutoverObserved(
            cutover=cutover,
            # After the reads: the samples must not be newer than the clock that judges them.
            now=self._clock.now() if recording is None else recording.until,
            runner=runner,
            runner_problem=problem,
            pod=pod_view(pod) if pod else None,
            process=process,
            pvc=pvc,
            stateful_set=sts,
            target_config=target,
            user_config=user_config,
            recording=recording,
            report=filing.stage,
            report_head=filing.head,
            check=check,
            rehearsal=rehearsal,
            rehearsal_process=rehearsing,
            nonce=self._nonce(),
        )

    def noted(self, uid: str, filing: Filed) -> None:
        """A report on the cutover with that uid was filed."""
        self._filed.pop(uid, None)
        self._filed[uid] = filing
        while len(self._filed) > _REMEMBERED:
            del self._filed[next(iter(self._filed))]

    def filed(self, report: Manifest | None, cutover: ReleaseCutover) -> Filed:
        """What of the ConfigMap `report` the operator filed."""
        return filed(report, cutover, self._filed.get(cutover.metadata.uid))

    async def recording(
        self, cutover: ReleaseCutover, runner: TradingRunner | None, *, always: bool = False
    ) -> Recording | None:
        """Samples for the next judgement; None in phases that judge nothing, unless `always`."""
        if runner is None or not (always or self._needs_recording(cutover)):
            return None
        now = self._clock.now()
        query = sample_query(cutover, runner, now, self._default)
        if query is None:
            return Recording(now, now, outage=UNCONFIGURED)
        return await self._prometheus.record(query)

    async def baseline(
        self, cutover: ReleaseCutover, runner: TradingRunner | None
    ) -> Recording | None:
        """Once more, the samples that the baseline was measured on; without the control series,
        which says nothing about them. None when none was measured."""
        query = baseline_query(cutover, runner, self._default) if runner else None
        if query is None:
            return None
        return replace(await self._prometheus.record(query), control=())

    async def process(self, where: str) -> ProcessView | None:
        """What the process at that address says; None when it says nothing, or "" is given."""
        return await self._process.status(where) if where else None

    async def _pod(self, namespace: str, runner: str) -> Manifest | None:
        """The runner's own pod."""
        pod = await self._kube.get(kinds.ref(kinds.POD, namespace, pod_name(runner)))
        labels = raw(pod, "metadata", "labels")
        return pod if text(labels, LABEL_RUNNER) == runner else None

    async def _running(
        self, namespace: str, runner: str
    ) -> tuple[Manifest | None, ProcessView | None]:
        """The runner's own pod, and what its process says."""
        pod = await self._pod(namespace, runner)
        return pod, await self.process(address(pod or {}))

    async def _auxiliary_pods(
        self, cutover: ReleaseCutover, runner: TradingRunner | None
    ) -> tuple[AuxiliaryPodView | None, AuxiliaryPodView | None, ProcessView | None]:
        """The pods that check and rehearse the target, where the policy asks for such."""
        meta, (checks, rehearses) = cutover.metadata, needs_pods(cutover, runner)
        check, rehearsal = await asyncio.gather(
            self._named(meta.namespace, check_pod_name(meta.uid) if checks else ""),
            self._named(meta.namespace, rehearsal_pod_name(meta.uid) if rehearses else ""),
        )
        return (
            auxiliary_view(check, meta.uid) if check else None,
            auxiliary_view(rehearsal, meta.uid) if rehearsal else None,
            await self.process(address(rehearsal)) if rehearsal else None,
        )

    async def _named(self, namespace: str, pod: str) -> Manifest | None:
        return await self._kube.get(kinds.ref(kinds.POD, namespace, pod)) if pod else None

    async def _cutovers(
        self, namespace: str, runner: str, *, claimed: str | None
    ) -> tuple[tuple[ReleaseCutover, ...], frozenset[str]]:
        """Those that can be parsed, and the names of the others. Raises NotUnderstood for the one
        that is claimed: what the runner is to do follows from it."""
        items = await self._kube.list(kinds.CUTOVER, namespace, fields=f"spec.runner={runner}")
        parsed, unread = [], set()
        for item in items:
            try:
                parsed.append(read(ReleaseCutover, item))
            except NotUnderstood as problem:
                if problem.name == claimed:
                    raise
                unread.add(problem.name)
        return tuple(parsed), frozenset(unread)

    async def _children(
        self, namespace: str, runner: str, unserved: frozenset[kinds.Kind]
    ) -> dict[Ref, Manifest]:
        refs = [kinds.ref(kind, namespace, runner) for kind in _NAMED if kind not in unserved]
        refs.append(kinds.ref(kinds.NETWORK_POLICY, namespace, auxiliary_policy_name(runner)))
        refs.append(kinds.ref(kinds.PVC, namespace, pvc_name(runner)))
        labels = f"{LABEL_RUNNER}={runner},{LABEL_MANAGED_BY}={MANAGER},!{LABEL_CUTOVER}"
        configs, named = await asyncio.gather(
            self._kube.list(kinds.CONFIG_MAP, namespace, labels=labels),
            asyncio.gather(*(self._kube.get(ref) for ref in refs)),
        )
        children = dict(zip(refs, named, strict=True))
        live = {ref: item for ref, item in children.items() if item is not None}
        return live | {ref_of(item): item for item in configs}

    async def _drills(self, runner: TradingRunner) -> tuple[DrillPodView, ...]:
        """Pods of drills, where there can be any."""
        if runner.spec.kill_switch_drill is None and runner.status.drill is None:
            return ()
        meta = runner.metadata
        labels = f"{LABEL_RUNNER}={meta.name},{LABEL_APP}={APP_DRILL},{LABEL_MANAGED_BY}={MANAGER}"
        pods = await self._kube.list(kinds.POD, meta.namespace, labels=labels)
        return tuple(drill_view(pod) for pod in pods)

    async def _drilled(self, runner: TradingRunner) -> tuple[MetricView | None, AlertView | None]:
        """The evidence of a live drill: the metric, where a Prometheus is known, and the alert."""
        now, meta = self._clock.now(), runner.metadata
        by_metric, alert = due_observations(runner, now)
        url = runner.spec.cutover.template.guardrails.prometheus or self._default
        where = meta.namespace, meta.name
        prometheus = Endpoint(url) if by_metric and url else None
        metric, routed = await asyncio.gather(
            _given(self._prometheus.engaged(prometheus, *where, now) if prometheus else None),
            _given(self._alertmanager.observe(alert, *where) if alert else None),
        )
        return metric, routed

    async def _target(self, cutover: ReleaseCutover) -> Manifest | None:
        target = cutover.status.target
        if target is None:
            return None
        return await self._kube.get(
            kinds.ref(kinds.CONFIG_MAP, cutover.metadata.namespace, target.config_map)
        )

    async def _report(self, key: Key) -> Manifest | None:
        """The incident report without its content, which may be large."""
        ref = kinds.ref(kinds.CONFIG_MAP, key.namespace, incident_name(key.name))
        return await self._kube.get(ref, metadata_only=True)

    async def _user_config(self, namespace: str, name: str | None) -> str | None:
        if name is None:
            return None
        config_map = await self._kube.get(kinds.ref(kinds.CONFIG_MAP, namespace, name))
        text: Any = ((config_map or {}).get("data") or {}).get(CONFIG_FILE)
        return text if isinstance(text, str) else None


def _runner_of(live: Manifest | None) -> tuple[TradingRunner | None, str]:
    """A cutover's runner, or why it can't be parsed."""
    if live is None:
        return None, ""
    try:
        return read(TradingRunner, live), ""
    except NotUnderstood as problem:
        return None, str(problem)


async def _given(wanted: Awaitable[T] | None) -> T | None:
    """The result of `wanted`; None without one."""
    return None if wanted is None else await wanted


def _config_of(cutover: ReleaseCutover, runner: TradingRunner | None) -> str | None:
    """The user's ConfigMap of the target: the cutover's own, or the runner's."""
    if cutover.spec.release is not None:
        return cutover.spec.release.config
    return runner.spec.release.config if runner else None
