"""Drift, conditions and events by themselves."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.runner_world import PHASE, RunnerWorld
from tests.support.operator.runners import intent_of, runner
from tradepulse_operator.api.cutover import ReleaseCutover, ReleaseCutoverSpec
from tradepulse_operator.api.cutover_status import PhaseRecord, ReleaseCutoverStatus
from tradepulse_operator.api.meta import ConditionStatus, Meta
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.common.time import instant, timestamp
from tradepulse_operator.controllers.conditions import (
    drop_condition,
    find_condition,
    is_true,
    set_condition,
)
from tradepulse_operator.controllers.events import cutover_events, runner_events
from tradepulse_operator.controllers.observed.views import RunnerObserved
from tradepulse_operator.controllers.runner.context import build_context
from tradepulse_operator.controllers.runner.diff import repair, satisfies, taken
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import Apply, Delete, Replace, Wait
from tradepulse_operator.resources.runner.config_map import config_map
from tradepulse_operator.resources.runner.service import service
from tradepulse_operator.resources.runner.stateful_set import stateful_set

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
OWNER = runner()


def live(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest as an API server returns it."""
    found = copy.deepcopy(manifest)
    found["metadata"] |= {"uid": "u", "resourceVersion": "1", "managedFields": [{}]}
    found["status"] = {"observedGeneration": 1}
    return found


# Drift.


def test_defaults_and_additions_in_maps_are_no_drift() -> None:
    found = live(service(OWNER))
    found["spec"]["sessionAffinity"] = "None"
    found["metadata"]["labels"]["argocd"] = "x"
    assert repair(found, service(OWNER)) is None


def test_what_is_missing_is_applied() -> None:
    assert repair(None, service(OWNER)) == Apply(service(OWNER))


def test_what_goes_is_left_to_go() -> None:
    found = live(service(OWNER))
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found["spec"] = {}
    assert repair(found, service(OWNER)) is None


def test_a_key_too_many_in_a_selector_is_drift() -> None:
    found = live(service(OWNER))
    found["spec"]["selector"]["also"] = "this"
    assert isinstance(repair(found, service(OWNER)), Apply)


def test_a_field_that_is_no_longer_wanted_is_noticed_by_the_hash() -> None:
    before = stateful_set(runner(pod={"nodeSelector": {"disk": "fast"}}), intent_of(OWNER), {})
    after = stateful_set(OWNER, intent_of(OWNER), {})
    assert isinstance(repair(live(before), after), Apply)


def test_elements_of_others_are_taken_out_and_nothing_else_is_touched() -> None:
    desired = stateful_set(OWNER, intent_of(OWNER), {})
    found = live(desired)
    found["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "HOME", "value": "/"})
    found["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    step = repair(found, desired)
    assert isinstance(step, Replace)
    template = step.manifest["spec"]["template"]["spec"]
    assert (
        template["containers"][0]["env"]
        == desired["spec"]["template"]["spec"]["containers"][0]["env"]
    )
    assert template["dnsPolicy"] == "ClusterFirst"
    assert step.manifest["metadata"]["resourceVersion"] == "1"
    assert repair(step.manifest, desired) is None


def test_a_configuration_with_other_content_is_deleted() -> None:
    desired = config_map(OWNER, "a: 1\n")
    found = live(desired)
    found["data"]["runner.yaml"] = "a: 2\n"
    step = repair(found, desired)
    assert isinstance(step, Delete)
    assert step.uid == "u"


@given(st.data())
def test_any_changed_value_is_drift(data: st.DataObject) -> None:
    desired = stateful_set(OWNER, intent_of(OWNER), {"a": "text"})
    found = live(desired)
    paths = [path for path in leaves(desired) if path[0] in ("spec", "metadata")]
    path = data.draw(st.sampled_from(paths))
    holder = found
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = "another"
    assert not satisfies(found, desired)
    assert repair(found, desired) is not None


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key))]
    return [path]


OWNERS: list[tuple[dict[str, Any], bool]] = [
    ({"ownerReferences": [{"uid": "runner-uid", "controller": True}]}, False),
    ({"ownerReferences": [{"uid": "other", "controller": True}]}, True),
    ({"ownerReferences": [{"uid": "other"}], "labels": {"tradepulse.io/runner": "demo"}}, False),
    ({"labels": {"tradepulse.io/runner": "demo"}}, False),
    ({"labels": {"app.kubernetes.io/managed-by": "tradepulse-operator"}}, False),
    ({"labels": {"app.kubernetes.io/name": "demo"}}, True),
    ({}, True),
]


@pytest.mark.parametrize(("meta", "expected"), OWNERS)
def test_whose_object_it_is(meta: dict[str, Any], expected: bool) -> None:
    assert taken({"metadata": meta}, OWNER.metadata) is expected


# Conditions.


def test_only_another_truth_value_is_a_transition() -> None:
    one = set_condition((), "Ready", FALSE, "A", now=1, generation=1)
    two = set_condition(one, "Ready", FALSE, "B", "why", now=2, generation=2)
    three = set_condition(two, "Ready", TRUE, "C", now=3, generation=3)
    times = [c[0].last_transition_time for c in (one, two, three)]
    assert times == [timestamp(1), timestamp(1), timestamp(3)]
    assert two[0].reason == "B"
    assert two[0].observed_generation == 2
    assert is_true(three, "Ready")


def test_the_order_stays_and_dropping_drops_one() -> None:
    found = set_condition((), "A", TRUE, "x", now=1, generation=1)
    found = set_condition(found, "B", TRUE, "x", now=1, generation=1)
    found = set_condition(found, "A", FALSE, "x", now=2, generation=1)
    assert [c.type for c in found] == ["A", "B"]
    assert [c.type for c in drop_condition(found, "A")] == ["B"]
    assert find_condition(found, "C") is None


@given(st.floats(0, 4e9))
def test_timestamps_come_back_to_the_microsecond(now: float) -> None:
    assert abs(instant(timestamp(now)) - now) < 1e-5


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        instant("2026-01-01T00:00:00")


# Events.


def moved(*phases: tuple[str, str]) -> ReleaseCutover:
    records = tuple(
        PhaseRecord(phase=PHASE(p), at=timestamp(n), message=m) for n, (p, m) in enumerate(phases)
    )
    return ReleaseCutover(
        metadata=Meta(name="move", namespace="trading"),
        spec=ReleaseCutoverSpec(runner="demo"),
        status=ReleaseCutoverStatus(phases=records),
    )


def test_one_event_a_phase_bad_ones_as_warnings() -> None:
    found = cutover_events(
        moved(("Pending", ""), ("RollingBack", "error rate"), ("RolledBack", ""))
    )
    assert [(event.reason, event.type) for event in found] == [
        ("Pending", "Normal"),
        ("RollingBack", "Warning"),
        ("RolledBack", "Warning"),
    ]
    assert found[1].message == "error rate"
    assert found[0].message
    assert len({event.key for event in found}) == 3


def test_more_phases_keep_the_keys_of_earlier_ones() -> None:
    short = cutover_events(moved(("Pending", "")))
    longer = cutover_events(moved(("Pending", ""), ("Preflight", "")))
    assert longer[0] == short[0]


def test_one_event_a_transition_of_a_runner() -> None:
    world = RunnerWorld()
    world.settle()
    first = runner_events(world.runner)
    assert len({(event.reason, event.message) for event in first}) == len(first)
    world.now += 60
    world.change(killSwitch={"engaged": True, "reason": "drill"})
    world.settle()
    second = {event.key: event for event in runner_events(world.runner)}
    fresh = [event for key, event in second.items() if key not in {e.key for e in first}]
    assert {event.reason: event.type for event in fresh}["Latched"] == "Warning"
    assert any(event.message.startswith("Ready is False") for event in fresh)


# Cutovers of another version.


def unread(world: RunnerWorld, name: str) -> RunnerObserved:
    """The world, in which the cutover of that name is there and can't be parsed."""
    return replace(world.observe(), unread_cutovers=frozenset({name}))


def moved_on() -> RunnerWorld:
    """A runner whose spec means another release by now."""
    world = RunnerWorld()
    world.settle()
    world.change(release={"image": "registry.test/runner:2.0.0"})
    return world


def test_a_cutover_that_is_there_but_not_understood_is_not_stamped_again() -> None:
    world = moved_on()
    stamp = build_context(world.observe()).stamp
    assert stamp is not None
    for _ in range(20):
        step = decide(unread(world, stamp))
        assert not (isinstance(step, Apply) and step.manifest["kind"] == ReleaseCutover.KIND)
        if isinstance(step, Wait):
            world.tick()
        else:
            world.carry_out(step)
    world.settle()
    assert stamp in world.cutovers


def test_no_configuration_goes_while_a_cutover_is_not_understood() -> None:
    world = moved_on()
    world.settle()
    old = next(ref for ref in world.api.objects if ref.kind == "ConfigMap")
    other = copy.deepcopy(world.api.objects[old])
    other["metadata"] |= {"name": "demo-0000000000", "uid": "other"}
    ref = Ref("v1", "ConfigMap", old.namespace, "demo-0000000000")
    world.api.objects[ref] = other
    for _ in range(5):
        assert isinstance(decide(unread(world, "newer")), Wait)
    assert decide(world.observe()) == Delete(ref, "other")
