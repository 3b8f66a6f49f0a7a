"""Collects the evidence of a cutover and files it.

A report must never delay a rollback: everything together has 5 s, so that it is filed within 10 s
of the verdict; the outcome, which nothing waits for, has 20 s. Each part may fail by itself, and
what is missing is named in the report.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.read import NotUnderstood, read
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.clients.clock import Clock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import KubeError
from tradepulse_operator.common.names import (
    CONFIG_FILE,
    CONTAINER,
    INIT_CONTAINER,
    incident_name,
    pod_name,
)
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.controllers.cutover.watch import bake_limits
from tradepulse_operator.controllers.observed.pods import address
from tradepulse_operator.controllers.step import FileReport
from tradepulse_operator.guard.promql import queries
from tradepulse_operator.guard.query import sample_query
from tradepulse_operator.incident.bundle import Filed, build, head
from tradepulse_operator.incident.evidence import Evidence

from .observe import Observer

BUDGET, FINAL_BUDGET = 5.0, 20.0
#: Seconds for making the report of what was collected; 0.1 are usual.
BUILDING = 5.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Reporter:
    """Files reports. `budget`: seconds for collecting all evidence; `final_budget`: the outcome;
    `building`: making the report of it."""

    def __init__(
        self,
        kube: Kube,
        observer: Observer,
        clock: Clock,
        *,
        default_prometheus: str = "",
        budget: float = BUDGET,
        final_budget: float = FINAL_BUDGET,
        building: float = BUILDING,
    ) -> None:
        self._kube = kube
        self._observer = observer
        self._clock = clock
        self._default = default_prometheus
        self._building = building
        self._budgets = {False: budget, True: final_budget}

    async def file(self, step: FileReport) -> None:
        """Collect and apply the report that `step` asks for. Raises KubeError if that can't be."""
        live = await self._kube.get(step.ref)
        if live is None:
            return
        cutover = read(ReleaseCutover, live)
        evidence = await self._collect(cutover, final=step.final)
        name = incident_name(cutover.metadata.name)
        where = kinds.ref(kinds.CONFIG_MAP, cutover.metadata.namespace, name)
        previous = await self._kube.get(where)
        if previous is not None and self._is_foreign(previous, cutover):
            # Applying would keep what is in it, and an immutable one would refuse.
            await self._kube.delete(where, previous["metadata"]["uid"])
            previous = None
        report = await self._built(evidence, previous)
        await self._kube.apply(report)
        self._observer.noted(cutover.metadata.uid, Filed(evidence.stage, head(report)))
        # Noted outside the report, so that the report's chain can be checked against it.
        _log.info("report filed", extra={"stage": evidence.stage, "head": head(report)})

    def _is_foreign(self, config_map: Manifest, cutover: ReleaseCutover) -> bool:
        """Whether somebody else made it: nothing was filed yet, as far as the operator knows."""
        return cutover.status.report is None and not self._observer.filed(config_map, cutover).stage

    async def _built(self, evidence: Evidence, previous: Manifest | None) -> Manifest:
        """The report, made off the event loop: lease and other objects are served meanwhile. What a
        release chose (logs, samples, events) is left out where that takes too long or fails."""
        try:
            async with asyncio.timeout(self._building):
                return await asyncio.to_thread(build, evidence, previous)
        except TimeoutError:
            why = f"the report took longer than {self._building:g} s to make with it"
        except Exception as error:
            _log.exception("the report can't be made of all that was collected")
            why = f"the report can't be made with it: {type(error).__name__}"
        return await asyncio.to_thread(build, _essential(evidence, why), previous)

    async def _collect(self, cutover: ReleaseCutover, *, final: bool) -> Evidence:
        parts = _Parts(self._budgets[final])
        namespace, name = cutover.metadata.namespace, cutover.spec.runner
        pod_ref = kinds.ref(kinds.POD, namespace, pod_name(name))
        live, pod = await asyncio.gather(
            parts.get("runner", self._kube.get(kinds.ref(kinds.RUNNER, namespace, name)), None),
            parts.get("pod.json", self._kube.get(pod_ref), None),
        )
        if pod is None:
            parts.missing.setdefault("pod.json", "there is no pod")
        runner = None
        if live is not None:
            # A report must not fail for a runner of another version: it lacks the samples then.
            with contextlib.suppress(NotUnderstood):
                runner = read(TradingRunner, live)
        recording, baseline, process, events, (logs, configs) = await asyncio.gather(
            parts.get("samples.json", self._observer.recording(cutover, runner, always=True), None),
            parts.get(
                "baseline-samples.json",
                self._observer.baseline(cutover, None if final else runner),
                None,
            ),
            parts.get("process", self._observer.process(address(pod or {})), None),
            parts.get("events.json", self._events(cutover, live, pod), ()),
            asyncio.gather(self._logs(parts, pod), self._configs(parts, cutover)),
        )
        now = self._clock.now()
        query = sample_query(cutover, runner, now, self._default) if runner else None
        return Evidence(
            cutover=cutover,
            at=now,
            final=final,
            recording=recording,
            baseline=baseline,
            limits=bake_limits(cutover, runner) if runner else None,
            queries=queries(query) if query else {},
            process=process,
            pod=pod,
            events=events,
            logs=logs,
            configs=configs,
            missing=parts.missing,
        )

    async def _logs(self, parts: _Parts, pod: Manifest | None) -> dict[str, str]:
        if pod is None:
            return {}
        meta = pod["metadata"]
        wanted = _logs_of(pod)
        texts = await asyncio.gather(
            *(
                parts.get(
                    f"logs-{log}.txt",
                    self._kube.logs(
                        meta["namespace"], meta["name"], container, lines=1000, previous=previous
                    ),
                    "",
                )
                for log, (container, previous) in wanted.items()
            )
        )
        for log, text in zip(wanted, texts, strict=True):
            if not text:
                parts.missing.setdefault(f"logs-{log}.txt", "it is empty")
        return dict(zip(wanted, texts, strict=True))

    async def _configs(self, parts: _Parts, cutover: ReleaseCutover) -> dict[str, str]:
        texts = await asyncio.gather(
            *(
                parts.get("config.diff", self._config(cutover, release), "")
                for release in (cutover.status.source, cutover.status.target)
            )
        )
        return {key: text for key, text in zip(("source", "target"), texts, strict=True) if text}

    async def _events(
        self, cutover: ReleaseCutover, *about: Mapping[str, Any] | None
    ) -> tuple[Manifest, ...]:
        namespace = cutover.metadata.namespace
        uids = [cutover.metadata.uid, *(one["metadata"]["uid"] for one in about if one)]
        lists = await asyncio.gather(*(self._kube.events(namespace, uid) for uid in uids))
        return tuple(event for events in lists for event in events)

    async def _config(self, cutover: ReleaseCutover, release: Release | None) -> str:
        if release is None:
            return ""
        namespace = cutover.metadata.namespace
        config_map = await self._kube.get(
            kinds.ref(kinds.CONFIG_MAP, namespace, release.config_map)
        )
        return str(((config_map or {}).get("data") or {}).get(CONFIG_FILE) or "")


class _Parts:
    """Parts that are collected by one deadline; those that can't be are named in `missing`."""

    def __init__(self, budget: float) -> None:
        self.missing: dict[str, str] = {}
        self._budget = budget
        self._deadline = asyncio.get_running_loop().time() + budget

    async def get(self, what: str, wanted: Awaitable[T], otherwise: T) -> T:
        """The part, or `otherwise`."""
        try:
            async with asyncio.timeout_at(self._deadline):
                return await wanted
        except TimeoutError:
            self.missing[what] = f"took longer than the {self._budget:g} s for everything"
        except KubeError as error:
            self.missing[what] = str(error)[:300]
        except Exception as error:
            # The others are worth having without this one, whatever is wrong with it.
            self.missing[what] = type(error).__name__
            _log.exception("part %s of the report failed", what)
        return otherwise


def _essential(evidence: Evidence, why: str) -> Evidence:
    """What the operator itself knows, without what a release chose; `why`: that is left out."""
    given = {
        **{f"logs-{name}.txt": text for name, text in evidence.logs.items()},
        "samples.json": evidence.recording,
        "baseline-samples.json": evidence.baseline,
        "events.json": evidence.events,
        "pod.json": evidence.pod,
        "process": evidence.process,
    }
    lost = {part: why for part, content in given.items() if content}
    return replace(
        evidence,
        recording=None,
        baseline=None,
        process=None,
        pod=None,
        events=(),
        logs={},
        missing={**lost, **evidence.missing},
    )


def _logs_of(pod: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Name → (container, whether of its previous run) of the logs that a pod can give."""
    status = pod.get("status") or {}
    restarted = any(item.get("restartCount") for item in status.get("containerStatuses") or [])
    wanted = {"runner": (CONTAINER, False), "state": (INIT_CONTAINER, False)}
    return wanted | ({"previous": (CONTAINER, True)} if restarted else {})
