"""One look: a step is carried out, a stale view looks again, and events never hold it up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from tests.support.fakes.kube import failing
from tests.support.operator.engine_world import (
    CUTOVER,
    POD,
    RUNNER,
    EngineWorld,
    config_map,
    cutover,
    pod,
    runner,
)
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import KubeError, NotFound, Unavailable
from tradepulse_operator.common.time import timestamp
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    Event,
    Replace,
    SetFinalizers,
    Step,
    Wait,
    WriteStatus,
)
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.apply import Applier
from tradepulse_operator.manager.events import Emitter, event_name
from tradepulse_operator.manager.leader import LeaseLost
from tradepulse_operator.manager.loop import CONFIG_RESYNC, Loop, Reconcilers
from tradepulse_operator.manager.metrics import Metrics

KEY = keys.runner("ns", "btc")
CUTOVER_KEY = keys.cutover("ns", "btc-1")


class Engine:
    """A loop whose reconcilers return what they are told to."""

    def __init__(self, step: Step, events: Iterable[Event] = (), leads: bool = True) -> None:
        self.world = EngineWorld()
        self.metrics = Metrics()
        kube = cast(Kube, self.world.kube)
        self.step = step
        self.loop = Loop(
            self.world.observer,
            Applier(kube, self.world.reporter, self.world.served),
            Emitter(kube, self.world.clock, "test"),
            reconcilers=Reconcilers(
                restraint=lambda _: None,
                runner=lambda _: self.step,
                cutover=lambda _: self.step,
                runner_events=lambda _: events,
                cutover_events=lambda _: events,
                raw_runner=lambda _: self.step,
                raw_events=lambda _: events,
            ),
            metrics=self.metrics,
            may_act=lambda: leads,
        )

    @property
    def writes(self) -> list[str]:
        return [verb for verb, _ in self.world.kube.writes]


@pytest.mark.parametrize("seconds", [None, 5.0, 0.5])
async def test_a_wait_writes_nothing(seconds: float | None) -> None:
    engine = Engine(Wait("x", seconds))
    assert await engine.loop.reconcile(KEY) == seconds
    assert engine.writes == []


@pytest.mark.parametrize(
    ("step", "verb"),
    [
        (Apply(config_map("new", "x")), "apply"),
        (Replace({**pod(), "metadata": {**pod()["metadata"], "resourceVersion": "3"}}), "replace"),
        (Delete(POD, "uid-btc-0"), "delete"),
        (Annotate(POD, "uid-btc-0", {"a": "b"}), "annotate"),
        (SetFinalizers(RUNNER, "1", ()), "finalizers"),
        (WriteStatus(RUNNER, "1", {"phase": "Trading"}), "status"),
    ],
)
async def test_a_request_is_sent_once_and_then_it_looks_again(step: Step, verb: str) -> None:
    engine = Engine(step)
    assert await engine.loop.reconcile(KEY) == 0
    assert engine.writes == [verb]


@pytest.mark.parametrize(
    "step",
    [
        Replace({**pod(), "metadata": {**pod()["metadata"], "resourceVersion": "99"}}),
        Delete(POD, "uid-of-another"),
        Annotate(POD, "uid-of-another", {"a": "b"}),
        Annotate(kinds.ref(kinds.POD, "ns", "gone-0"), "x", {"a": "b"}),
        WriteStatus(RUNNER, "99", {}),
        SetFinalizers(RUNNER, "99", ()),
    ],
)
async def test_a_stale_view_changes_nothing_and_looks_again(step: Step) -> None:
    engine = Engine(step)
    before = dict(engine.world.kube.objects)
    assert await engine.loop.reconcile(KEY) == 0
    assert engine.world.kube.objects == before


async def test_an_unknown_kind_fails_and_is_asked_for_anew() -> None:
    monitor = kinds.SERVICE_MONITOR
    step = Apply(
        {
            "apiVersion": monitor[0],
            "kind": monitor[1],
            "metadata": {"name": "btc", "namespace": "ns"},
        }
    )
    engine = Engine(step)
    assert await engine.world.served.missing_kinds(monitor) == frozenset()
    engine.world.kube.unserved.add(monitor)
    with pytest.raises(NotFound):
        await engine.loop.reconcile(KEY)
    assert await engine.world.served.missing_kinds(monitor) == {monitor}


async def test_without_the_lease_nothing_is_sent() -> None:
    engine = Engine(Delete(POD, "uid-btc-0"), leads=False)
    with pytest.raises(LeaseLost):
        await engine.loop.reconcile(KEY)
    assert engine.writes == []


async def test_what_is_gone_needs_no_further_look() -> None:
    engine = Engine(Wait("x", 5))
    assert await engine.loop.reconcile(keys.runner("ns", "no")) is None
    assert await engine.loop.reconcile(keys.cutover("ns", "no")) is None


async def test_a_runner_that_names_a_config_map_is_looked_at_every_minute() -> None:
    engine = Engine(Wait("x"))
    engine.world.kube.put(runner(release={"image": "r:1", "config": "mine"}))
    assert await engine.loop.reconcile(KEY) == CONFIG_RESYNC
    engine.step = Wait("x", 5)
    assert await engine.loop.reconcile(KEY) == 5


def event(at: float, key: str = "k") -> Event:
    return Event(key, "Normal", "Reason", "message", timestamp(at))


async def test_events_are_created_once_and_only_while_they_are_news() -> None:
    world = EngineWorld()
    now = world.clock.now()
    engine = Engine(Wait("x"), [event(now - 10), event(now - 4000, "old")])
    await engine.loop.reconcile(KEY)
    await engine.loop.reconcile(KEY)
    assert engine.writes == ["create"]
    (made,) = [m for r, m in engine.world.kube.objects.items() if r.kind == "Event"]
    assert made["involvedObject"]["uid"] == "uid-btc"
    assert made["lastTimestamp"] == timestamp(now - 10)[:19] + "Z"


async def test_an_event_that_is_there_already_is_fine() -> None:
    engine = Engine(Wait("x", 3), [event(EngineWorld().clock.now())])
    await engine.loop.reconcile(KEY)
    again = Engine(Wait("x", 3), [event(EngineWorld().clock.now())])
    for ref, item in engine.world.kube.objects.items():
        if ref.kind == "Event":
            again.world.kube.put(item)
    assert await again.loop.reconcile(KEY) == 3


@pytest.mark.parametrize("error", [Unavailable(503, "", "x"), KubeError(403, "Forbidden", "x")])
async def test_events_that_fail_hold_up_nothing(error: KubeError) -> None:
    engine = Engine(Wait("x", 3), [event(EngineWorld().clock.now())])
    engine.world.kube.fault = failing(error, "create")
    assert await engine.loop.reconcile(KEY) == 3


def test_names_of_events_depend_on_object_and_transition() -> None:
    about = ReleaseCutover.model_validate(cutover()).metadata
    one, other = event_name(about, event(1, "a")), event_name(about, event(1, "b"))
    assert one != other
    assert one == event_name(about, event(99, "a"))
    assert len(event_name(about.model_copy(update={"name": "x" * 250}), event(1))) <= 253


async def test_verdicts_and_phases_are_counted_once() -> None:
    verdict = {"verdict": "breach", "guardrail": "errorRate", "at": "2027-01-15T08:16:10Z"}
    engine = Engine(WriteStatus(CUTOVER, "2", {"phase": "RollingBack", "verdict": verdict}))
    await engine.loop.reconcile(CUTOVER_KEY)
    phases = [
        {"phase": "Baking", "at": "2027-01-15T08:16:00Z"},
        {"phase": "RolledBack", "at": "2027-01-15T08:16:20Z"},
    ]
    engine.step = Wait("x")
    engine.world.kube.put(cutover("RolledBack", phases=phases))
    for _ in range(3):
        await engine.loop.reconcile(CUTOVER_KEY)
    text = engine.metrics.text().decode()
    assert 'verdicts_total{guardrail="errorRate",verdict="breach"} 1.0' in text
    assert 'cutover_phase_seconds_sum{phase="Baking"} 20.0' in text
    assert 'cutovers_total{phase="RolledBack"} 1.0' in text
    assert 'steps_total{kind="ReleaseCutover",step="WriteStatus"} 1.0' in text
