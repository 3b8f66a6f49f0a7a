"""Cutovers in any phase, and the world around them, for tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.operator.public import assert_explained
from tests.support.operator.recordings import RecordedWorld, Runner
from tests.support.operator.runner_world import spec
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.cutover_status import (
    CutoverPhase,
    PhaseRecord,
    ReleaseCutoverStatus,
    RollbackStatus,
    RollbackStep,
)
from tradepulse_operator.api.release import Release, ReleaseSpec
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import LABEL_RELEASE
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.cutover.watch import to_status
from tradepulse_operator.controllers.observed.views import CutoverObserved, PodView, ProcessView
from tradepulse_operator.controllers.step import WriteStatus
from tradepulse_operator.guard.bake import begin
from tradepulse_operator.guard.samples import Recording
from tradepulse_operator.resources.config.release import render_release

NOW = 1_800_000_000.0
UID = "8c1d6d0e-0000-4000-8000-000000000001"
PHASE = CutoverPhase

SPEC = spec(release={"image": "registry.test/runner:1.1.0"}, strategy={"name": "momentum"})


def runner(**changes: Any) -> TradingRunner:
    """A runner whose one cutover is `move`; `changes` are of its spec."""
    return TradingRunner.model_validate(
        {
            "metadata": {"name": "demo", "namespace": "trading", "uid": "r", "generation": 2},
            "spec": {**SPEC, **changes},
            "status": {"activeRelease": SOURCE.wire() if SOURCE else None, "cutover": "move"},
        }
    )


SOURCE: Release | None = None
_BARE = runner()
SOURCE = render_release(_BARE, ReleaseSpec(image="registry.test/runner:1.0.0"), None).release
TARGET = render_release(_BARE, ReleaseSpec(image="registry.test/runner:1.1.0"), None).release


def rollback(step: RollbackStep, age: float = 1.0) -> RollbackStatus:
    at = timestamp(NOW - age)
    return RollbackStatus(
        step=step, step_at=at, started_at=at, reason="ErrorRateAboveLimit", message="too many"
    )


def status(phase: CutoverPhase | None, age: float = 1.0, **changes: Any) -> ReleaseCutoverStatus:
    """A status that entered `phase` `age` seconds ago."""
    at = NOW - age
    if phase is None:
        return ReleaseCutoverStatus()
    found: dict[str, Any] = {
        "phase": phase,
        "phases": (PhaseRecord(phase=phase, at=timestamp(at)),),
        "started_at": timestamp(at),
    }
    if phase is not PHASE.PENDING:
        found |= {"source": SOURCE, "target": TARGET}
    if phase is PHASE.BAKING:
        found["bake"] = to_status(begin(at))
    if phase is PHASE.VERIFYING:
        found |= {
            "rollback": rollback(RollbackStep.STARTING, age),
            "verification": to_status(begin(at)),
        }
    return ReleaseCutoverStatus(**{**found, **changes})


def cutover(found: ReleaseCutoverStatus, **spec: Any) -> ReleaseCutover:
    return ReleaseCutover.model_validate(
        {
            "metadata": {
                "name": "move",
                "namespace": "trading",
                "uid": UID,
                "generation": 1,
                "resourceVersion": "7",
            },
            "spec": {"runner": "demo", **spec},
            "status": found.wire(),
        }
    )


#: What the state container says of the restore that a rollback asks of it.
BACKUP = {"id": UID, "files": 3, "bytes": 9, "sha256": "a"}
RESTORED = json.dumps({"ok": True, "restore": {"result": "restored", **BACKUP}})


def pod(release: Release | None = None, **changes: Any) -> PodView:
    """A pod that is ready; of the target unless another release is given, and then restored."""
    found: dict[str, Any] = {
        "uid": "p",
        "release": (release or TARGET).id,
        "annotations": {},
        "phase": "Running",
        "ready": True,
        "deleting": False,
        "image_id": "sha256:1",
        "init_exit": 0,
        "init_message": RESTORED if release is SOURCE else "",
    }
    return PodView(**{**found, **changes})


TRADING = ProcessView(state="TRADING")
DRAINED = ProcessView(state="HALTED", halt_token=UID, halt_complete=True)


@dataclass(frozen=True)
class Samples:
    """A recording that ends now, of a runner of a kind."""

    kind: str
    seconds: float = 600.0
    world: RecordedWorld = field(default_factory=RecordedWorld)

    def recording(self) -> Recording:
        ages = {
            "ok": Runner(born=NOW - 4000),
            "breach": Runner(born=NOW - 4000, errors=lambda _: 0.5),
            "gap": Runner(born=NOW - 4000, silent=((NOW - self.seconds, NOW),)),
            "quiet": Runner(born=NOW - 4000, rate=0.0),
            "quiet and silent": Runner(
                born=NOW - 4000, rate=0.0, silent=((NOW - self.seconds, NOW),)
            ),
        }
        if self.kind == "outage":
            return Recording(NOW - 600, NOW, outage="503")
        return RecordedWorld(ages[self.kind]).recording(NOW - self.seconds - 300, NOW)


def stateful_set(release: Release, *, observed: bool = True) -> Manifest:
    """A live StatefulSet that starts `release`; its controller may not have seen that yet."""
    labels = {LABEL_RELEASE: release.id}
    return {
        "metadata": {"generation": 2},
        "spec": {"template": {"metadata": {"labels": labels}}},
        "status": {"observedGeneration": 2 if observed else 1},
    }


def seen(found: ReleaseCutover, **changes: Any) -> CutoverObserved:
    """The world around a cutover: all is well unless `changes` say otherwise."""
    world: dict[str, Any] = {
        "runner": runner(),
        "pvc": {"status": {"phase": "Bound"}},
        "target_config": {"kind": "ConfigMap"},
        "stateful_set": stateful_set(SOURCE or TARGET),
    }
    return CutoverObserved(cutover=found, now=NOW, **{**world, **changes})


def written(step: object) -> ReleaseCutoverStatus:
    """The status that a step writes; fails for any other step, and for a reason that the API
    reference doesn't explain."""
    assert isinstance(step, WriteStatus), step
    found = ReleaseCutoverStatus.model_validate(step.status)
    assert_explained(found.conditions)
    return found
