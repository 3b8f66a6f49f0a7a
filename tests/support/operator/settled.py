"""A runner that has come to rest, and what it is held to then."""

from __future__ import annotations

from typing import Any

from tests.support.operator.runner_world import RunnerWorld, spec
from tradepulse_operator.controllers.runner.children import desired
from tradepulse_operator.controllers.runner.context import build_context
from tradepulse_operator.controllers.runner.diff import satisfies
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import (
    Wait,
)


def good(world: RunnerWorld) -> None:
    """The children are as desired, the pod is of the right release, and nothing moves."""
    view = build_context(world.observe())
    for manifest in desired(view):
        ref = world.ref(manifest["kind"], manifest["metadata"]["name"])
        live = world.api.get(ref)
        assert live is not None, ref
        if ref.kind != "PersistentVolumeClaim":
            assert satisfies(live, manifest), ref
    if view.run and view.run.replicas:
        assert view.own_pod is not None
    kinds = {condition.type for condition in view.status.conditions}
    assert not {"Reconciling", "Stalled"} <= kinds
    assert len([c.type for c in view.status.conditions]) == len(kinds)
    rests(world)


def rests(world: RunnerWorld) -> None:
    """Looking again and again writes nothing."""
    before = world.api.writes
    for _ in range(3):
        world.now += 60
        assert isinstance(decide(world.observe()), Wait)
        world.tick()
    assert world.api.writes == before


def settled(**changes: Any) -> RunnerWorld:
    world = RunnerWorld(spec=spec(**changes))
    world.settle()
    world.log.clear()
    return world


def conditions(world: RunnerWorld) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in world.status["conditions"]}
