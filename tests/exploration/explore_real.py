"""Between the abstract world and the real reconcilers: the real `decide` decides every step.

A decision is taken once per distinct view and remembered; views are full, concrete observations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

from tests.exploration.explore_state import (
    COMPARED,
    JUDGED,
    STREAMS,
    Cut,
    ExplorationState,
    Pod,
    Run,
    Template,
)
from tests.support.operator import cutovers as some
from tests.support.operator.streams import BUS, ORDERS, bus
from tradepulse_operator.api.baseline import Baseline, StreamsRecord
from tradepulse_operator.api.checklist import CheckRecord, CheckResult
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import (
    BackupRecord,
    CutoverPhase,
    ReleaseCutoverStatus,
    ReportRecord,
    RollbackStatus,
    RollbackStep,
    VerdictKind,
    VerdictRecord,
)
from tradepulse_operator.api.meta import Condition, ConditionStatus, OwnerReference
from tradepulse_operator.api.reasons import ConditionType
from tradepulse_operator.api.release import ReleaseSpec
from tradepulse_operator.api.runner import CLEAN_STOP, TradingRunner
from tradepulse_operator.api.runner_status import RejectedRelease
from tradepulse_operator.api.runner_status import TradingRunnerStatus as RunnerStatus
from tradepulse_operator.common.names import (
    ANNOTATION_KILL_SWITCH,
    ANNOTATION_TRADING,
    LABEL_RELEASE,
)
from tradepulse_operator.common.objects import Manifest, ref_of
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.conditions import find_condition
from tradepulse_operator.controllers.cutover.baseline import kafka_of
from tradepulse_operator.controllers.cutover.reconcile import decide as decide_cutover
from tradepulse_operator.controllers.cutover.watch import to_status
from tradepulse_operator.controllers.observed.data_services import PartitionView
from tradepulse_operator.controllers.observed.views import (
    AuxiliaryPodView,
    CutoverObserved,
    PodView,
    ProcessView,
    RunnerObserved,
)
from tradepulse_operator.controllers.runner.desired_run import desired_run
from tradepulse_operator.controllers.runner.reconcile import decide as decide_runner
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    FileReport,
    Replace,
    Step,
    Wait,
    WriteStatus,
)
from tradepulse_operator.guard.bake import begin
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.resources.config import render as config
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.runner.children import children

NOW = some.NOW
#: A request, abstractly: what it is and what it does. None: wait.
Doing = tuple[object, ...] | None
_BACKUP = {"id": some.UID, "files": 1, "bytes": 1, "sha256": "a"}


def _of(name: str) -> Any:
    assert some.SOURCE is not None
    found = some.SOURCE if name == "S" else some.TARGET
    return found.model_copy(update={"image_id": f"sha256:{name}"})


_NAMES = {_of("S").id: "S", _of("T").id: "T"}


@cache
def recording(evidence: str) -> Recording | None:
    kind = {"some": "ok", "none": "quiet", "blind": "outage"}.get(evidence, evidence)
    return some.Samples(kind).recording()


@contextmanager
def rendered_once() -> Iterator[None]:
    """Render each configuration once: in this world the same image always has the same one."""
    texts: dict[str, str] = {}

    def render(name: str, namespace: str, spec: Any, release: Any, user: str | None) -> str:
        if release.image not in texts:
            texts[release.image] = config.render(name, namespace, spec, release, user)
        return texts[release.image]

    with mock.patch("tradepulse_operator.resources.config.release.render", render):
        yield


@dataclass(eq=False)
class Real:
    """The real reconcilers under one policy."""

    policy: dict[str, Any]
    #: Whether the running release told of an event bus before it was halted.
    streams: bool = False
    cutover: Callable[[CutoverObserved], Step] = decide_cutover
    runner: Callable[[RunnerObserved], Step] = decide_runner
    templates: dict[str, Template] = field(default_factory=dict)
    manifests: list[Manifest] = field(default_factory=list)
    known: dict[object, Doing] = field(default_factory=dict)

    def begin(self, faults: int = 0, wishes: tuple[str, ...] = ()) -> ExplorationState:
        """A runner whose source trades, and a cutover that someone just created."""
        found = self._runner(Run(), suspend=False)
        manifest = self._children(found, None)[-2]
        assert manifest["kind"] == "StatefulSet"
        first = self.template(manifest)
        pod = Pod(first, "ready", "", False)
        return ExplorationState(Cut(), Run(), first, first, pod, faults=faults, wishes=wishes)

    def template(self, manifest: Manifest) -> Template:
        """The template that a StatefulSet's manifest is; equal manifests are one."""
        key = json.dumps(manifest, sort_keys=True)
        if key not in self.templates:
            pod = manifest["spec"]["template"]
            args = pod["spec"]["initContainers"][0]["args"]
            orders = pod["metadata"]["annotations"]
            assert manifest["spec"]["updateStrategy"]["type"] == "OnDelete"
            assert manifest["spec"]["replicas"] in (0, 1)
            self.templates[key] = Template(
                number=len(self.manifests),
                release=_NAMES[pod["metadata"]["labels"][LABEL_RELEASE]],
                backup=_after(args, "--backup") == some.UID,
                restore=_after(args, "--restore") == some.UID,
                mode=_after(args, "--mode"),
                halt=orders[ANNOTATION_TRADING],
                kill=bool(orders[ANNOTATION_KILL_SWITCH]),
                replicas=manifest["spec"]["replicas"],
            )
            self.manifests.append(manifest)
        return self.templates[key]

    def told(self, world: ExplorationState) -> tuple[str, ...]:
        """What its process may tell of its event bus, where that may matter."""
        return STREAMS if self.streams and world.cut.phase in COMPARED else ("",)

    def ask_cutover(self, world: ExplorationState, evidence: str, streams: str = "") -> Doing:
        """What the cutover reconciler wants, seeing samples that lead to `evidence`, and a process
        that tells that of its event bus."""
        cut, pod = world.cut, world.pod
        seen = evidence if cut.phase in JUDGED else ""
        shown = pod and pod._replace(template=pod.template._replace(number=0, halt="", kill=False))
        times = (world.lasts, world.late, world.overdue)
        asked = (world.filed, world.asked, world.suspend, world.moved, world.check)
        template = (world.template.release, world.seen is world.template)
        key = (cut, world.run, times, template, shown, world.latched, seen, asked, streams)
        if key not in self.known:
            observed = self._seen_by_cutover(world, seen, streams)
            step = self.cutover(observed)
            self.known[key] = self._cutover_doing(world, observed.cutover, step)
        return self.known[key]

    def ask_runner(self, world: ExplorationState) -> Doing:
        """What the runner reconciler wants."""
        same = world.seen is world.template
        looks = (world.latched, world.suspend)
        key = ("runner", world.cut, world.run, world.template, same, world.pod, looks)
        if key not in self.known:
            self.known[key] = self._runner_doing(world, self.runner(self._seen_by_runner(world)))
        return self.known[key]

    def _cutover_doing(self, world: ExplorationState, before: ReleaseCutover, step: Step) -> Doing:
        if isinstance(step, FileReport):
            return ("report", 2 if step.final else 1)
        if isinstance(step, WriteStatus):
            found = abstract(ReleaseCutoverStatus.model_validate(step.status))
            # Another message, or a checkpoint: nothing that anyone acts on.
            return None if found == world.cut else ("status", world.cut, world.asked, found)
        if isinstance(step, Apply):
            assert step.manifest["kind"] == "Pod", step.manifest["kind"]
            return ("check made",)
        if isinstance(step, Delete):
            assert step.uid == "c"
            return ("check gone",)
        # The target's ConfigMap exists in this world.
        assert isinstance(step, Wait), step
        return None

    def _runner_doing(self, world: ExplorationState, step: Step) -> Doing:
        match step:
            case WriteStatus():
                status = RunnerStatus.model_validate(step.status)
                active = _NAMES[status.active_release.id] if status.active_release else ""
                found = Run(status.cutover is not None, active, bool(status.rejected_releases))
                return None if found == world.run else ("status", world.run, found)
            case Apply():
                assert step.manifest["kind"] == "StatefulSet", step.manifest["kind"]
                return ("apply", self.template(step.manifest))
            case Replace():
                assert step.manifest["kind"] == "StatefulSet", step.manifest["kind"]
                return ("replace", self.template(_plain(step.manifest)), world.template)
            case Delete():
                assert step.uid == "p"
                return ("delete",)
            case Annotate():
                assert step.uid == "p"
                return ("annotate", tuple(sorted(step.annotations.items())))
        assert isinstance(step, Wait), step
        return None

    def _seen_by_cutover(
        self, world: ExplorationState, evidence: str, streams: str
    ) -> CutoverObserved:
        times = (world.lasts, world.late, world.overdue)
        cutover = self._cutover(world.cut, times, evidence, world.asked)
        return CutoverObserved(
            cutover=cutover,
            now=NOW,
            runner=self._runner(world.run, suspend=world.suspend, moved=world.moved),
            check=_check_view(world),
            pod=_pod_view(world),
            process=_process_view(world, streams),
            pvc={"status": {"phase": "Bound"}},
            target_config={"kind": "ConfigMap"},
            stateful_set=self._stateful_set(world),
            recording=recording(evidence) if evidence else None,
            report=("", "evidence", "final")[world.filed],
        )

    def _seen_by_runner(self, world: ExplorationState) -> RunnerObserved:
        runner = self._runner(world.run, suspend=world.suspend)
        cutover = self._cutover(world.cut, (False, False, False), "", world.asked)
        live = {ref_of(item): item for item in self._children(runner, cutover)}
        manifest = self._stateful_set(world)
        live[ref_of(manifest)] = manifest
        return RunnerObserved(
            runner=runner,
            now=NOW,
            cutovers=(cutover,),
            children=live,
            pod=_pod_view(world),
            process=_process_view(world),
        )

    def _stateful_set(self, world: ExplorationState) -> Manifest:
        """The live StatefulSet, with what its controller says of it."""
        found, generation = self.manifests[world.template.number], 2
        current = world.pod is not None and world.pod.template is world.template
        return {
            **found,
            "metadata": {**found["metadata"], "generation": generation},
            "status": {
                "observedGeneration": generation - (world.seen is not world.template),
                "replicas": int(world.pod is not None),
                "updatedReplicas": int(current),
            },
        }

    def _children(self, runner: TradingRunner, cutover: ReleaseCutover | None) -> Any:
        """All children as they should be: only the StatefulSet is left to be wrong."""
        assert runner.status.active_release is not None
        claimed = cutover if runner.status.cutover else None
        run = desired_run(runner, runner.status.active_release, claimed)
        texts = {
            release.config_hash: render_release(runner, ReleaseSpec(image=release.image), None).text
            for release in (run.release, runner.status.active_release)
        }
        found = children(runner, run, texts)
        claim = {"status": {"phase": "Bound"}}
        return [item | claim if "Claim" in item["kind"] else item for item in found]

    @cache  # noqa: B019
    def _runner(self, run: Run, *, suspend: bool, moved: bool = False) -> TradingRunner:
        # That the next cutover is stamped then is the runner reconciler's own matter.
        mode = {"cutover": {"mode": "Automatic" if moved else "Manual"}}
        newer = {"release": {"image": "registry.test/runner:1.2.0"}} if moved else {}
        found = some.runner(**mode, **newer, suspend=suspend)
        refused = RejectedRelease(release=_of("T"), cutover="move", reason="x", at="x")
        status = RunnerStatus(
            active_release=_of(run.active),
            cutover="move" if run.claimed else None,
            rejected_releases=(refused,) if run.refused else (),
            writer_epoch=1,
        )
        meta = found.metadata.model_copy(update={"finalizers": (CLEAN_STOP,)})
        return found.model_copy(update={"metadata": meta, "status": status})

    @cache  # noqa: B019
    def _cutover(
        self, cut: Cut, times: tuple[bool, bool, bool], evidence: str, asked: tuple[bool, bool]
    ) -> ReleaseCutover:
        found = concrete(cut, *times, evidence)
        if found.baseline and self.streams:
            measured = found.baseline.model_copy(update={"kafka": kafka_of(BUS)})
            found = found.model_copy(update={"baseline": measured})
        abort, signed = asked
        policy = self.policy
        if signed:
            grant = {"role": "risk", "by": "ada", "release": _of("T").id}
            policy = policy | {"approvals": {**policy["approvals"], "granted": [grant]}}
        cutover = some.cutover(found, **policy, abort=abort, release={"image": some.TARGET.image})
        owner = OwnerReference(api_version="x", kind="TradingRunner", name="demo", uid="r")
        meta = cutover.metadata.model_copy(update={"owner_references": (owner,)})
        return cutover.model_copy(update={"status": found, "metadata": meta})


def _plain(live: Manifest) -> Manifest:
    """A live manifest without what the API server adds."""
    meta = {key: value for key, value in live["metadata"].items() if key != "generation"}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": meta}


def _after(args: list[str], flag: str) -> str:
    return args[args.index(flag) + 1] if flag in args else ""


def abstract(status: ReleaseCutoverStatus) -> Cut:
    """What matters of a status."""
    rollback = status.rollback
    moving = next((c for c in status.conditions if c.type == "Reconciling"), None)
    rolling = status.phase is CutoverPhase.ROLLING_BACK
    return Cut(
        phase=status.phase or "",
        step=rollback.step if rollback and rolling else "",
        target=status.target is not None,
        backup=status.backup is not None,
        verdict=status.verdict.verdict if status.verdict and rollback else "",
        reason=rollback.reason if rollback else "",
        report=status.report is not None,
        gave_up=bool(rollback and "could not be filed" in rollback.message),
        paused=bool(moving and moving.reason == "Paused"),
        baseline=status.baseline is not None,
        checks=_checked(status),
        streams=_intact(status),
    )


def _intact(status: ReleaseCutoverStatus) -> str:
    found = find_condition(status.conditions, ConditionType.STREAMS_INTACT)
    assert (found is None) == (status.streams is None), "half of what was found is told"
    return found.status.value if found else ""


def _checked(status: ReleaseCutoverStatus) -> str:
    results = {record.result for record in status.checklist}
    if not results:
        return ""
    if CheckResult.FAIL in results:
        return "fail"
    return "pending" if CheckResult.PENDING in results else "pass"


def _records(checks: str) -> tuple[CheckRecord, ...]:
    """What the status tells of `config` and `secrets`."""
    if not checks:
        return ()
    waits = (CheckResult.PENDING, "waits for the answer of the target release's check pod")
    good, missing = (CheckResult.PASS, ""), (CheckResult.FAIL, "missing")
    found = {"pending": (waits, waits), "pass": (good, good), "fail": (good, missing)}[checks]
    return tuple(
        CheckRecord(name=name, result=result, message=message, at=timestamp(NOW))
        for name, (result, message) in zip(("config", "secrets"), found, strict=True)
    )


def _check_view(world: ExplorationState) -> AuxiliaryPodView | None:
    if not world.check:
        return None
    said = {"missing": ("", "missing"), "invalid": ("wrong", "")}.get(world.check, ("", ""))
    return AuxiliaryPodView(
        uid="c",
        deleting=world.check == "leaving",
        ended=world.check in ("good", "missing", "invalid"),
        exit_code=int(any(said)),
        message=json.dumps({"ok": not any(said), "config": said[0], "secrets": said[1]}),
        # Long enough ago to be tried again.
        ended_at=NOW - 100,
    )


def concrete(
    cut: Cut, lasts: bool, late: bool, overdue: bool, evidence: str
) -> ReleaseCutoverStatus:
    """A status that `abstract` makes `cut` of."""
    if not cut.phase:
        return ReleaseCutoverStatus()
    phase = CutoverPhase(cut.phase)
    age = _age(phase, late, evidence)
    changes: dict[str, Any] = {
        "source": _of("S") if cut.target else None,
        "target": some.TARGET if cut.target else None,
    }
    if cut.reason:
        changes["rollback"] = RollbackStatus(
            step=RollbackStep(cut.step or "Starting"),
            step_at=timestamp(NOW - (100 if late else 5 if lasts else 1)),
            started_at=timestamp(NOW - (700 if overdue else 1)),
            reason=cut.reason,
            message="could not be filed" if cut.gave_up else "why",
        )
    if phase is CutoverPhase.VERIFYING:
        changes["verification"] = to_status(begin(NOW - age))
    if cut.baseline:
        changes["baseline"] = Baseline(at=timestamp(NOW))
    if cut.backup:
        changes["backup"] = BackupRecord(id=some.UID, files=1)
    if cut.verdict:
        changes["verdict"] = VerdictRecord(verdict=VerdictKind(cut.verdict), at=timestamp(NOW))
    changes["conditions"] = _paused() if cut.paused else ()
    changes |= _told(cut.streams) if cut.streams else {}
    changes["checklist"] = _records(cut.checks)
    if cut.report:
        changes["report"] = ReportRecord(config_map="move-incident", captured_at=timestamp(NOW))
    return some.status(phase, age, **changes)


def _age(phase: CutoverPhase, late: bool, evidence: str) -> float:
    """Seconds since the phase was entered."""
    some_time = {CutoverPhase.BAKING: 100.0, CutoverPhase.VERIFYING: 20.0}
    if phase in some_time:
        return {"some": some_time[phase], "blind": 9999.0}.get(evidence, 600.0)
    return 400.0 if late else 1.0


def _paused() -> tuple[Condition, ...]:
    at = timestamp(NOW)
    found = Condition(
        type="Reconciling", status=ConditionStatus.TRUE, reason="Paused", last_transition_time=at
    )
    return (found,)


def _told(intact: str) -> dict[str, Any]:
    at = timestamp(NOW)
    found = Condition(
        type=ConditionType.STREAMS_INTACT,
        status=ConditionStatus(intact),
        reason="Told",
        last_transition_time=at,
    )
    return {"streams": StreamsRecord(at=at), "conditions": (found,)}


def _pod_view(world: ExplorationState) -> PodView | None:
    pod = world.pod
    if pod is None:
        return None
    ended = {"new": None, "init failed": 1}.get(pod.state, 0)
    waiting = {"no image": "ImagePullBackOff", "crashed": "CrashLoopBackOff"}.get(pod.state, "")
    return PodView(
        uid="p",
        release=_of(pod.release).id,
        annotations={
            ANNOTATION_TRADING: pod.halt,
            ANNOTATION_KILL_SWITCH: _KILL if pod.kill else "",
        },
        phase="Running" if pod.runs else "Pending",
        ready=pod.state == "ready",
        deleting=pod.deleting,
        image_id=f"sha256:{pod.release}" if pod.runs else None,
        init_exit=ended,
        init_message=_statement(world, pod.template) if ended == 0 else "",
        restarts=int(pod.restarted),
        waiting=waiting,
    )


def _statement(world: ExplorationState, template: Template) -> str:
    """What the state container of that template says once it has ended well."""
    said: dict[str, object] = {"ok": True}
    if template.backup:
        said["backup"] = _BACKUP
    if template.restore:
        missing = {"id": some.UID, "result": "missing"}
        said["restore"] = {
            "restore": {"result": "restored", **_BACKUP} if world.backup else missing,
            "keep": {"id": some.UID, "result": "kept"},
            "freeze": {"id": some.UID, "result": "frozen"},
        }[template.mode]
    return json.dumps(said)


#: The one reason for a kill switch in this world.
_KILL = "cutover move halted"


_BUSES = {
    "same": BUS,
    "differ": bus(PartitionView(ORDERS, 0, 3)),
    "silent": bus(at=NOW - 100, problem="no broker answers"),
}


def _process_view(world: ExplorationState, streams: str = "") -> ProcessView | None:
    pod = world.pod
    if pod is None or not pod.runs or pod.state in ("crashed", "hung"):
        return None
    drained = pod.state == "drained" and bool(pod.halt)
    return ProcessView(
        state={"ready": "TRADING", "started": "RECONCILING"}.get(pod.state, "HALTED"),
        halt_token=some.UID if drained else "",
        halt_complete=drained,
        kill_switch=world.latched,
        kill_switch_reason=_KILL if world.latched else "",
        writer_epoch=1,
        bus=_BUSES.get(streams),
    )
