"""A world for the runner reconciler: API server, StatefulSet controller, kubelet, process, cutover.

Everything moves in `tick`, one thing after another, as the real controllers do between two looks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.fakes.api_server import ApiServer
from tests.support.operator.public import assert_explained
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.runner_status import TradingRunnerStatus
from tradepulse_operator.clients.kubernetes.errors import Conflict, NotFound
from tradepulse_operator.common.names import (
    ANNOTATION_KILL_SWITCH,
    ANNOTATION_TRADING,
    API_VERSION,
    LABEL_RELEASE,
)
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.observed.views import (
    AlertView,
    DrillPodView,
    MetricView,
    PodView,
    ProcessView,
    RunnerObserved,
)
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    Replace,
    SetFinalizers,
    Step,
    Wait,
    WriteStatus,
)
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.config.render import ConfigError
from tradepulse_operator.resources.runner.config_map import config_map

NAMESPACE, NAME = "trading", "demo"
PHASE = CutoverPhase
FORWARD = [
    PHASE.PREFLIGHT,
    PHASE.HALTING,
    PHASE.BACKING_UP,
    PHASE.SWITCHING,
    PHASE.BAKING,
    PHASE.SUCCEEDED,
]
ROLLBACK_STEPS = ["Halting", "CollectingEvidence", "Stopping", "Starting"]


def spec(**changes: Any) -> dict[str, Any]:
    """A runner's spec with changes at its top."""
    return {
        "release": {"image": "registry.test/runner:1.0.0"},
        "strategy": {"name": "momentum", "parameters": {"window": 3}},
        "venues": [{"name": "paper", "connector": "paper", "symbols": ["BTC-USD"]}],
        "risk": {
            "maxPosition": "5",
            "maxNotional": "500000",
            "maxOrderNotional": "20000",
            "maxOrdersPerInterval": 100,
            "maxDailyLoss": "100000",
            "priceCollar": "0.05",
        },
        **changes,
    }


@dataclass
class RunnerWorld:
    """The world around one runner. `outcome`: how the next cutover ends."""

    spec: dict[str, Any] = field(default_factory=spec)
    outcome: CutoverPhase = PHASE.SUCCEEDED
    user_config: str | None = None
    broken_images: frozenset[str] = frozenset()
    unserved: frozenset[str] = frozenset()
    now: float = 1_800_000_000.0
    api: ApiServer = field(default_factory=ApiServer)
    pod: PodView | None = None
    pod_revision: str = ""
    process: ProcessView | None = None
    epoch: int = 0
    latched: str = ""
    cutovers: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[Step] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    #: Exit code (None: not yet) and termination message of every drill's pod.
    drilled: tuple[int | None, str] = (0, "")
    #: What Prometheus and Alertmanager have of a live drill.
    metric: MetricView | None = None
    alert: AlertView | None = None
    #: Venues that take new orders; None where the release doesn't tell.
    open_venues: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.meta = {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": "runner-uid",
            "generation": 1,
            "resourceVersion": "1",
        }

    # What the operator sees.

    @property
    def runner(self) -> TradingRunner:
        raw = {"metadata": self.meta, "spec": self.spec, "status": self.status}
        return TradingRunner.model_validate(raw)

    def cutover(self, name: str) -> ReleaseCutover:
        return ReleaseCutover.model_validate(self.cutovers[name])

    def ref(self, kind: str, name: str = NAME) -> Ref:
        versions = {
            "StatefulSet": "apps/v1",
            "PodDisruptionBudget": "policy/v1",
            "NetworkPolicy": "networking.k8s.io/v1",
            "ServiceMonitor": "monitoring.coreos.com/v1",
            "Lease": "coordination.k8s.io/v1",
            "Role": "rbac.authorization.k8s.io/v1",
            "RoleBinding": "rbac.authorization.k8s.io/v1",
        }
        return Ref(versions.get(kind, "v1"), kind, NAMESPACE, name)

    def observe(self) -> RunnerObserved:
        return RunnerObserved(
            runner=self.runner,
            now=self.now,
            cutovers=tuple(self.cutover(name) for name in self.cutovers),
            children={ref: self.api.get(ref) or {} for ref in self.api.objects},
            pod=self.pod,
            process=self.process,
            user_config=self.user_config,
            drills=tuple(self._drills()),
            metric=self.metric,
            alert=self.alert,
            unserved=self.unserved,
        )

    def _drills(self) -> Iterator[DrillPodView]:
        for ref, live in self.api.objects.items():
            if ref.kind == "Pod":
                code, message = self.drilled
                yield DrillPodView(
                    name=ref.name,
                    uid=live["metadata"]["uid"],
                    phase="Pending" if code is None else "Failed" if code else "Succeeded",
                    exit_code=code,
                    message=message,
                )

    # What the operator asks for.

    def carry_out(self, step: Step) -> None:
        """As the engine does: a guard that doesn't hold is no error."""
        try:
            self._carry_out(step)
        except (Conflict, NotFound):
            return

    def _carry_out(self, step: Step) -> None:
        match step:
            case Apply(manifest):
                self._apply(manifest)
            case Replace(manifest):
                self.api.replace(manifest)
            case Delete(ref, uid):
                self._delete(ref, uid)
            case Annotate(_, uid, annotations):
                self._annotate(uid, annotations)
            case SetFinalizers(_, version, finalizers):
                self._finalize(version, finalizers)
            case WriteStatus(_, version, status):
                self._guard(version)
                found = TradingRunnerStatus.model_validate(status)
                assert_explained(found.conditions)
                self.status = status
                self.touch()
            case _:
                raise AssertionError(f"not for the runner reconciler: {step}")

    def _guard(self, version: str) -> None:
        if version != self.meta["resourceVersion"] or self.gone:
            raise Conflict(409, "Conflict", "resourceVersion")

    def touch(self) -> None:
        self.meta["resourceVersion"] = str(int(self.meta["resourceVersion"]) + 1)
        self.api.writes += 1

    def _finalize(self, version: str, finalizers: tuple[str, ...]) -> None:
        self._guard(version)
        self.meta["finalizers"] = list(finalizers)
        self.touch()
        self.gone = not finalizers and "deletionTimestamp" in self.meta

    def _annotate(self, uid: str, annotations: dict[str, str | None]) -> None:
        if self.pod is None or self.pod.uid != uid:
            raise Conflict(409, "Conflict", "uid")
        kept = {**self.pod.annotations, **annotations}
        live = {k: v for k, v in kept.items() if v is not None}
        self.pod = replace(self.pod, annotations=live)
        self.api.writes += 1

    def _apply(self, manifest: dict[str, Any]) -> None:
        if manifest["kind"] == ReleaseCutover.KIND:
            self._create_cutover(manifest)
        else:
            self.api.apply(manifest)

    def _delete(self, ref: Ref, uid: str) -> None:
        if ref.kind == "Pod" and ref not in self.api.objects:
            self._delete_pod(uid)
        elif ref.kind == ReleaseCutover.KIND:
            self.cutovers.pop(ref.name, None)
            self.api.writes += 1
        else:
            self.api.delete(ref, uid)

    def _delete_pod(self, uid: str) -> None:
        if self.pod is None or self.pod.uid != uid:
            raise Conflict(409, "Conflict", "uid")
        self.pod = replace(self.pod, deleting=True, ready=False)
        self.api.writes += 1

    def _create_cutover(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if name not in self.cutovers:
            self.add_cutover(name, manifest["spec"], manifest["metadata"])
            self.api.writes += 1

    # What people do.

    def change(self, **changes: Any) -> None:
        """Change the spec, as a person does."""
        self.spec = {**self.spec, **changes}
        self.meta["generation"] += 1
        self.touch()

    def remove(self) -> None:
        """Delete the runner."""
        self.meta.setdefault("deletionTimestamp", timestamp(self.now))
        self.touch()
        self.gone = not self.meta.get("finalizers")

    def add_cutover(
        self, name: str, body: dict[str, Any], meta: dict[str, Any] | None = None
    ) -> None:
        """Create a cutover, as a person or the operator does."""
        made = {"creationTimestamp": timestamp(self.now + len(self.cutovers) / 1000)}
        own = {"name": name, "namespace": NAMESPACE, "uid": f"cutover-{name}", "generation": 1}
        self.cutovers[name] = {
            "apiVersion": API_VERSION,
            "kind": ReleaseCutover.KIND,
            "metadata": {**(meta or {}), **own, **made},
            "spec": body,
            "status": {},
        }

    # What the others do.

    def tick(self) -> bool:
        """Let everyone else act once; whether anything happened."""
        before = self._fingerprint()
        self.now += 1
        self._statefulset_controller()
        self._kubelet()
        self._process()
        self._cutover_reconciler()
        return self._fingerprint() != before

    def _fingerprint(self) -> str:
        objects = sorted((str(ref), m) for ref, m in self.api.objects.items())
        return repr((objects, self.pod, self.process, self.cutovers, self.latched))

    def _statefulset_controller(self) -> None:
        live = self.api.objects.get(self.ref("StatefulSet"))
        if self.pod is not None and self.pod.deleting:
            self.pod = None
            return
        if live is None:
            # The garbage collector stops what the StatefulSet leaves.
            self.pod = replace(self.pod, deleting=True, ready=False) if self.pod else None
            return
        template = live["spec"]["template"]
        revision = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        if self.pod is None and live["spec"]["replicas"]:
            self._create_pod(template, revision)
        elif self.pod is not None and not live["spec"]["replicas"]:
            self.pod = replace(self.pod, deleting=True, ready=False)
        updated = 1 if self.pod is not None and self.pod_revision == revision else 0
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"],
            "replicas": 1 if self.pod else 0,
            "updatedReplicas": updated,
        }

    def _create_pod(self, template: dict[str, Any], revision: str) -> None:
        meta = template["metadata"]
        self.pod_revision = revision
        self.pod = PodView(
            uid=f"pod-{next(self.api.uids)}",
            release=meta["labels"][LABEL_RELEASE],
            annotations=dict(meta.get("annotations") or {}),
            phase="Pending",
            ready=False,
            deleting=False,
        )
        self.pod_image = template["spec"]["containers"][0]["image"]
        self.pod_config = next(
            v["configMap"]["name"] for v in template["spec"]["volumes"] if v["name"] == "config"
        )

    def _kubelet(self) -> None:
        pod = self.pod
        if pod is None or pod.deleting or pod.phase == "Running":
            return
        needed = [self.ref("PersistentVolumeClaim", f"{NAME}-state")]
        needed += [self.ref("ConfigMap", self.pod_config), self.ref("ServiceAccount")]
        if any(ref not in self.api.objects for ref in needed):
            return
        if self.pod_image in self.broken_images:
            self.pod = replace(pod, waiting="ImagePullBackOff")
            return
        self.epoch += 1
        digest = hashlib.sha256(self.pod_image.encode()).hexdigest()
        self.pod = replace(pod, phase="Running", image_id=f"registry.test/runner@sha256:{digest}")

    def _process(self) -> None:
        pod = self.pod
        if pod is None or pod.deleting or pod.phase != "Running":
            self.process = None
            return
        kill = pod.annotations.get(ANNOTATION_KILL_SWITCH, "")
        self.latched = self.latched or kill
        words = pod.annotations.get(ANNOTATION_TRADING, "").split()
        token = words[1] if words else ""
        halted = bool(self.latched or token)
        self.process = ProcessView(
            state="HALTED" if halted else "TRADING",
            halt_token=token,
            halt_complete=bool(token),
            open_venues=self.open_venues,
            kill_switch=bool(self.latched),
            kill_switch_reason=self.latched,
            writer_epoch=self.epoch,
        )
        self.pod = replace(pod, ready=not halted)

    # The cutover reconciler, in short: one phase a tick when what it waits for is there.

    def _cutover_reconciler(self) -> None:
        name = self.status.get("cutover")
        if self.gone or name not in self.cutovers or not self.status.get("activeRelease"):
            return
        raw = self.cutovers[name]
        status = raw["status"]
        phase = status.get("phase")
        if phase in (PHASE.SUCCEEDED, PHASE.ROLLED_BACK, PHASE.HALTED, PHASE.FAILED):
            return
        if phase in (None, PHASE.PENDING):
            self._resolve(raw)
        elif phase in FORWARD:
            self._forward(raw)
        elif phase == PHASE.ROLLING_BACK:
            self._backward(raw)
        elif phase == PHASE.VERIFYING and self._runs(status["source"]["id"]):
            self._enter(raw, self.outcome)

    def _resolve(self, raw: dict[str, Any]) -> None:
        runner = self.runner
        asked = self.cutover(raw["metadata"]["name"]).spec.release or runner.spec.release
        try:
            rendered = render_release(runner, asked, self.user_config)
        except ConfigError:
            return
        self.api.apply(config_map(runner, rendered.text))
        raw["status"] |= {
            "source": self.status["activeRelease"],
            "target": rendered.release.wire(),
        }
        failed = self.outcome is PHASE.FAILED
        self._enter(raw, PHASE.FAILED if failed else PHASE.PREFLIGHT)

    def _forward(self, raw: dict[str, Any]) -> None:
        status = raw["status"]
        phase = PHASE(status["phase"])
        uid, target = raw["metadata"]["uid"], status["target"]["id"]
        halted = self.process is not None and self.process.halt_token == uid
        done = {
            PHASE.PREFLIGHT: True,
            PHASE.HALTING: halted or self.pod is None or bool(self.pod.waiting),
            PHASE.BACKING_UP: self.pod is not None and self.pod.release == target,
            PHASE.SWITCHING: self._runs(target),
            PHASE.BAKING: True,
        }[phase]
        stuck = self.pod is not None and bool(self.pod.waiting)
        bad = self.outcome in (PHASE.ROLLED_BACK, PHASE.HALTED)
        late = phase in (PHASE.SWITCHING, PHASE.BAKING)
        if late and (stuck or (bad and phase is PHASE.BAKING)):
            status["rollback"] = {
                "step": "Halting",
                "stepAt": timestamp(self.now),
                "startedAt": timestamp(self.now),
                "reason": "Breach",
            }
            self._enter(raw, PHASE.ROLLING_BACK)
        elif done:
            self._enter(raw, FORWARD[FORWARD.index(phase) + 1])

    def _backward(self, raw: dict[str, Any]) -> None:
        status = raw["status"]
        step, source = status["rollback"]["step"], status["source"]["id"]
        done = {
            "Halting": self.pod is None
            or bool(self.pod.waiting)
            or (self.process is not None and bool(self.process.halt_token)),
            "CollectingEvidence": True,
            "Stopping": self.pod is None or self.pod.release == source,
            "Starting": self._runs(source),
        }[step]
        if not done:
            return
        if step == "Starting":
            self._enter(raw, PHASE.VERIFYING)
            return
        status["rollback"]["step"] = ROLLBACK_STEPS[ROLLBACK_STEPS.index(step) + 1]

    def _runs(self, release: str) -> bool:
        """Whether that release runs; a latched kill switch keeps it from being ready for ever."""
        pod = self.pod
        return (
            pod is not None
            and pod.release == release
            and pod.phase == "Running"
            and (pod.ready or bool(self.latched))
        )

    def _enter(self, raw: dict[str, Any], phase: CutoverPhase) -> None:
        # A rollback that was not meant ends well.
        if raw["status"].get("phase") == PHASE.VERIFYING and phase is not PHASE.HALTED:
            phase = PHASE.ROLLED_BACK
        raw["status"]["phase"] = phase
        raw["status"]["finishedAt"] = timestamp(self.now)

    # Driving it.

    def look(self) -> Step:
        """One look of the operator: observe, decide, carry out."""
        step = decide(self.observe())
        if not isinstance(step, Wait):
            self.log.append(step)
            self.carry_out(step)
        return step

    def settle(self, most: int = 400) -> None:
        """Until nobody does anything any more."""
        for _ in range(most):
            if self.gone:
                return
            if isinstance(self.look(), Wait) and not self.tick():
                return
        raise AssertionError(f"does not settle; last steps: {self.log[-6:]}")
