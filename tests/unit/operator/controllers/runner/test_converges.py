"""Whatever happens to the world, the runner reconciler brings it back, and then rests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.operator.runner_world import PHASE, RunnerWorld
from tests.support.operator.settled import good, settled
from tradepulse_operator.common.names import ANNOTATION_TRADING
from tradepulse_operator.controllers.runner.context import build_context
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import Annotate, Delete, Step, Wait
from tradepulse_operator.resources.config.release import resolve

COMMON = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SEEDS = st.integers(0, 2**32 - 1)
#: Every kind of child but the claim, whose loss is a person's to put right.
KINDS = (
    "ServiceAccount",
    "Lease",
    "Role",
    "RoleBinding",
    "Service",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "StatefulSet",
    "ServiceMonitor",
)
Drift = Callable[[RunnerWorld], None]


# What may happen to the world.


def delete_child(kind: str) -> Drift:
    def drift(world: RunnerWorld) -> None:
        world.api.remove(world.ref(kind))

    return drift


def delete_config(world: RunnerWorld) -> None:
    for ref in [ref for ref in world.api.objects if ref.kind == "ConfigMap"]:
        world.api.remove(ref)


def swap_config(world: RunnerWorld) -> None:
    """Someone deletes the immutable ConfigMap and makes another of that name."""
    for ref, live in world.api.objects.items():
        if ref.kind == "ConfigMap":
            live["data"] = {"runner.yaml": "runner: {name: evil}"}
            live["metadata"]["uid"] += "x"


def edit(kind: str, *path: str | int, value: Any) -> Drift:
    def drift(world: RunnerWorld) -> None:
        live: Any = world.api.objects.get(world.ref(kind))
        for part in path[:-1]:
            live = live[part] if live else None
        if live is not None:
            live[path[-1]] = value

    drift.__name__ = f"{kind} {path}"
    return drift


def add(kind: str, *path: str | int, value: Any) -> Drift:
    """Another field manager adds an element to a list."""

    def drift(world: RunnerWorld) -> None:
        live: Any = world.api.objects.get(world.ref(kind))
        for part in path:
            live = live[part] if live else None
        if live is not None and value not in live:
            live.append(value)

    drift.__name__ = f"{kind} {path} more"
    return drift


def delete_pod(world: RunnerWorld) -> None:
    if world.pod:
        world.carry_out(Delete(world.ref("Pod", "demo-0"), world.pod.uid))


CONTAINER = ("spec", "template", "spec", "containers", 0)
DRIFTS: list[Drift] = [
    *(delete_child(kind) for kind in KINDS),
    delete_config,
    swap_config,
    delete_pod,
    edit("Service", "spec", "ports", value=[{"name": "metrics", "port": 1234, "protocol": "TCP"}]),
    edit("Service", "spec", "ports", 0, "targetPort", value=1),
    edit("Service", "spec", "publishNotReadyAddresses", value=False),
    edit("Service", "spec", "selector", "app", value="another"),
    add("Service", "spec", "ports", value={"name": "more", "port": 1, "protocol": "TCP"}),
    edit("StatefulSet", "spec", "updateStrategy", value={"type": "RollingUpdate"}),
    edit("StatefulSet", "spec", "replicas", value=3),
    edit("StatefulSet", *CONTAINER, "image", value="registry.test/runner:by-hand"),
    add("StatefulSet", *CONTAINER, "env", value={"name": "HOME", "value": "/x"}),
    add("StatefulSet", "spec", "template", "spec", "containers", value={"name": "sidecar"}),
    edit("StatefulSet", "metadata", "annotations", value={}),
    edit("PodDisruptionBudget", "spec", "maxUnavailable", value=1),
    edit("PodDisruptionBudget", "spec", "selector", "matchLabels", "x", value="y"),
    edit("NetworkPolicy", "spec", "egress", value=[{}]),
    edit("NetworkPolicy", "spec", "podSelector", "matchLabels", "x", value="y"),
    edit("ServiceMonitor", "spec", "endpoints", value=[{"port": "metrics", "interval": "59s"}]),
    edit("Role", "rules", 0, "verbs", value=["*"]),
    edit("RoleBinding", "subjects", value=[]),
    edit("RoleBinding", "roleRef", "name", value="another"),
    edit("Lease", "metadata", "labels", value={}),
    edit("ServiceAccount", "automountServiceAccountToken", value=True),
    edit("ServiceAccount", "metadata", "labels", value={}),
]

CHANGES: list[Drift] = [
    *(
        lambda world, tag=tag: world.change(release={"image": f"registry.test/runner:{tag}"})
        for tag in ("1.0.0", "1.1.0", "1.2.0")
    ),
    lambda world: world.change(suspend=True),
    lambda world: world.change(suspend=False),
    lambda world: world.change(killSwitch={"engaged": True, "reason": "drill"}),
    lambda world: world.change(killSwitch={"engaged": False}),
    lambda world: world.change(pod={"resources": {"memory": "1024Mi"}}),
    lambda world: world.change(state={"size": "2048Mi"}),
    lambda world: world.change(cutover={"mode": "Manual"}),
    lambda world: world.change(cutover={"mode": "Automatic", "historyLimit": 1}),
    lambda world: world.change(release={"image": "registry.test/runner:1.0.0", "config": "gone"}),
]
OUTCOMES = (PHASE.SUCCEEDED, PHASE.ROLLED_BACK, PHASE.FAILED, PHASE.HALTED)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_each_drift_is_put_right(drift: Drift) -> None:
    world = settled()
    drift(world)
    world.settle()
    good(world)
    assert world.status["phase"] == "Trading"


@COMMON
@given(st.lists(st.sampled_from(DRIFTS), min_size=2, max_size=6), SEEDS)
def test_drifts_on_top_of_each_other_are_put_right(drifts: list[Drift], seed: int) -> None:
    random, world = Random(seed), settled()
    for drift in drifts:
        drift(world)
        for _ in range(random.randrange(4)):
            world.look()
        if random.random() < 0.5:
            world.tick()
    world.settle()
    good(world)


def storm(world: RunnerWorld, random: Random, moves: list[Drift]) -> None:
    """Changes and drifts while requests get lost, arrive twice, and controllers run in between."""
    for move in moves:
        world.outcome = random.choice(OUTCOMES)
        move(world)
        for _ in range(random.randrange(12)):
            step = decide(world.observe())
            # A decision has no memory: an operator that dies here decides the same again.
            assert decide(world.observe()) == step
            allowed(world, step)
            if isinstance(step, Wait) or random.random() < 0.3:
                world.tick()
            if not isinstance(step, Wait) and random.random() < 0.8:
                for _ in range(random.choice((1, 1, 2))):
                    world.carry_out(step)


def allowed(world: RunnerWorld, step: Any) -> None:
    """What no step may ever do."""
    run = build_context(world.observe()).run
    if isinstance(step, Annotate) and world.pod and run and world.pod.release != run.release.id:
        assert ANNOTATION_TRADING not in step.annotations, "orders for a pod of another release"
        assert all(step.annotations.values()), "an order taken off a pod of another release"
    if isinstance(step, Delete):
        assert step.ref.kind in ("Pod", "ConfigMap", "RoleBinding", "ReleaseCutover")


@COMMON
@given(st.lists(st.sampled_from(CHANGES + DRIFTS), min_size=1, max_size=8), SEEDS)
def test_a_storm_of_changes_settles(moves: list[Drift], seed: int) -> None:
    world = RunnerWorld()
    storm(world, Random(seed), moves)
    world.change(suspend=False, release={"image": "registry.test/runner:1.0.0"})
    world.settle()
    good(world)


class Unreliable(RunnerWorld):
    """An operator that dies before a request, or after it, so that it is sent again."""

    random: Random | None = None

    def carry_out(self, step: Step) -> None:
        for _ in range(self.random.choice((0, 1, 1, 2)) if self.random else 1):
            super().carry_out(step)


@COMMON
@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=4), SEEDS)
def test_an_operator_that_dies_anywhere_changes_nothing(moves: list[Drift], seed: int) -> None:
    ends = []
    for chance in (None, Random(seed)):
        world = Unreliable()
        world.random = chance
        for move in [lambda world: None, *moves]:
            move(world)
            world.settle()
        active = world.status["activeRelease"]
        objects = {ref: live.get("spec") for ref, live in world.api.objects.items()}
        ends.append((active["id"], world.status["phase"], set(world.cutovers), objects))
    assert ends[0] == ends[1]


@COMMON
@given(st.lists(st.sampled_from(CHANGES + DRIFTS), max_size=5), SEEDS)
def test_a_deleted_runner_goes_only_after_its_pod(moves: list[Drift], seed: int) -> None:
    world = RunnerWorld()
    storm(world, Random(seed), moves)
    world.remove()
    for _ in range(200):
        if world.gone:
            break
        if isinstance(world.look(), Wait):
            world.tick()
    assert world.gone
    assert world.pod is None


def test_the_active_release_is_what_the_spec_means_once_it_settled() -> None:
    world = settled()
    world.change(release={"image": "registry.test/runner:1.1.0"})
    world.settle()
    runner = world.runner
    wanted = resolve(runner, runner.spec.release, None)
    assert world.pod is not None
    assert world.pod.release == wanted.id == runner.status.active_release.id  # type: ignore[union-attr]


def test_the_leases_spec_belongs_to_its_holder() -> None:
    world = settled()
    ref = world.ref("Lease")
    live = world.api.get(ref)
    assert live is not None
    held = {"holderIdentity": "pod-uid", "leaseTransitions": 7, "renewTime": "now"}
    world.api.replace({**live, "spec": held})
    writes = world.api.writes
    world.settle()
    assert world.api.writes == writes
    edit("Lease", "metadata", "labels", value={})(world)
    world.settle()
    after = world.api.get(ref)
    assert after is not None
    assert after["spec"] == held
    good(world)
