"""Each decision about a runner, in the order of the chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator.runner_world import FORWARD, NAME, PHASE, RunnerWorld, spec
from tests.support.operator.settled import conditions, settled
from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.runner import CLEAN_STOP
from tradepulse_operator.common.names import ANNOTATION_KILL_SWITCH, ANNOTATION_TRADING
from tradepulse_operator.controllers.observed.views import PodView
from tradepulse_operator.controllers.runner.reconcile import decide
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    Replace,
    SetFinalizers,
    Wait,
    WriteStatus,
)
from tradepulse_operator.resources.config.release import resolve

NEXT = {"image": "registry.test/runner:1.1.0"}
THIRD = {"image": "registry.test/runner:1.2.0"}


def active(world: RunnerWorld) -> str:
    return str(world.status["activeRelease"]["image"])


def applied(world: RunnerWorld) -> list[str]:
    return [step.manifest["kind"] for step in world.log if isinstance(step, Apply)]


def until(world: RunnerWorld, name: str, phase: CutoverPhase) -> None:
    """Run until the cutover is in `phase`, and let the operator act on it."""
    for _ in range(200):
        if world.cutovers[name]["status"].get("phase") == phase:
            return
        if isinstance(world.look(), Wait):
            world.tick()
    raise AssertionError(world.cutovers[name]["status"])


def by_hand(
    world: RunnerWorld, name: str = "by-hand", release: dict[str, Any] | None = None
) -> None:
    body = {"runner": NAME, **({"release": release} if release else {})}
    world.add_cutover(name, body)


def pod_of(world: RunnerWorld) -> PodView:
    assert world.pod is not None
    return world.pod


# First start.


def test_the_first_start_persists_what_it_decided_before_anything_exists() -> None:
    world = RunnerWorld()
    kinds = [type(world.look()) for _ in range(2)]
    assert kinds == [SetFinalizers, WriteStatus]
    assert not world.api.objects
    assert active(world) == "registry.test/runner:1.0.0"
    assert world.status["history"][0]["release"]["image"] == active(world)


def test_children_come_in_order_the_stateful_set_after_what_it_needs() -> None:
    world = RunnerWorld()
    world.settle()
    kinds = applied(world)
    assert kinds.index("StatefulSet") == 10
    assert kinds[-1] == "ServiceMonitor"
    # Each once, but for the policies: the runner's own, and that of the pods beside it.
    assert sorted([*set(kinds), "NetworkPolicy"]) == sorted(kinds)
    assert len(kinds) == 12


def test_a_settled_runner_is_reported_as_such() -> None:
    world = settled()
    assert world.status["phase"] == "Trading"
    assert world.status["observedGeneration"] == 1
    assert world.status["writerEpoch"] == 1
    assert world.status["activeRelease"]["imageId"] == pod_of(world).image_id
    assert conditions(world) == {
        "Ready": ("True", "Trading"),
        "TradingEnabled": ("True", "Trading"),
        "KillSwitch": ("False", "Released"),
        "ReleaseDrift": ("False", "AsWanted"),
        "Monitored": ("True", "ServiceMonitor"),
    }


def test_while_it_starts_it_is_reconciling() -> None:
    world = RunnerWorld()
    while not isinstance(world.look(), Wait):
        pass
    assert world.status["phase"] == "Starting"
    assert conditions(world)["Reconciling"] == ("True", "Starting")
    assert conditions(world)["Ready"] == ("False", "Starting")


def test_a_first_image_that_cannot_be_had_is_put_right_in_the_spec() -> None:
    world = RunnerWorld(broken_images=frozenset({"registry.test/runner:1.0.0"}))
    world.settle()
    assert conditions(world)["Ready"] == ("False", "ImagePullBackOff")
    world.change(release=NEXT)
    world.settle()
    assert world.status["phase"] == "Trading"
    assert active(world) == NEXT["image"]
    assert not world.cutovers
    assert len(world.status["history"]) == 1


def test_a_suspended_runner_is_not_started() -> None:
    world = settled(suspend=True)
    assert not world.api.objects
    assert world.status["phase"] == "Suspended"
    world.change(suspend=False)
    world.settle()
    assert world.status["phase"] == "Trading"


# Configuration.


def test_a_missing_config_map_stalls_the_first_start_and_heals() -> None:
    world = settled(release={"image": "registry.test/runner:1.0.0", "config": "mine"})
    assert world.status["phase"] == "Stalled"
    assert conditions(world)["Stalled"] == ("True", "ConfigMapMissing")
    assert "Reconciling" not in conditions(world)
    assert not world.api.objects
    world.user_config = "loop: {max_backoff: 9}"
    world.settle()
    assert world.status["phase"] == "Trading"
    assert "Stalled" not in conditions(world)


def test_a_broken_configuration_stops_no_running_runner() -> None:
    world = settled(release={"image": "registry.test/runner:1.0.0", "config": "mine"})
    world.user_config = ""
    world.settle()
    world.user_config = "loop: ["
    world.api.remove(world.ref("Service"))
    world.settle()
    assert world.status["phase"] == "Trading"
    assert conditions(world)["Stalled"] == ("True", "InvalidConfig")
    assert conditions(world)["Ready"] == ("True", "Trading")
    assert conditions(world)["ReleaseDrift"] == ("Unknown", "InvalidConfig")
    assert world.api.get(world.ref("Service"))


def test_a_changed_user_configuration_is_a_new_release() -> None:
    world = settled(release={"image": "registry.test/runner:1.0.0", "config": "mine"})
    world.user_config = "loop: {max_backoff: 9}"
    world.settle()
    before = world.status["activeRelease"]["id"]
    world.user_config = "loop: {max_backoff: 8}"
    world.settle()
    assert len(world.cutovers) == 1
    assert world.status["activeRelease"]["id"] != before
    assert world.status["previousRelease"]["id"] == before


# Cutovers: stamped, claimed, absorbed.


def test_a_changed_release_is_stamped_claimed_and_promoted() -> None:
    world = settled()
    world.change(release=NEXT)
    world.settle()
    target = resolve(world.runner, world.runner.spec.release, None)
    assert list(world.cutovers) == [f"demo-{target.id}-g2"]
    assert active(world) == NEXT["image"]
    assert world.status["previousRelease"]["image"] == "registry.test/runner:1.0.0"
    assert [entry["cutover"] for entry in world.status["history"][:1]] == list(world.cutovers)
    assert "cutover" not in world.status
    assert world.status["agreedRelease"] == target.id


def test_a_spec_that_goes_back_before_the_promotion_is_taken_over_is_followed() -> None:
    world = settled()
    before = world.runner.spec.release.wire()
    world.change(release=NEXT)
    target = resolve(world.runner, world.runner.spec.release, None)
    name = f"demo-{target.id}-g2"
    while name not in world.cutovers:
        assert not isinstance(world.look(), Wait)
    until(world, name, PHASE.SUCCEEDED)
    world.change(release=before)
    world.settle()
    assert active(world) == before["image"]
    assert len(world.cutovers) == 2


def test_a_rolled_back_release_is_not_tried_again_by_itself() -> None:
    world = settled()
    world.outcome = PHASE.ROLLED_BACK
    world.change(release=NEXT)
    world.settle()
    world.change(monitoring={"scrapeInterval": "5s"})
    world.settle()
    assert len(world.cutovers) == 1
    assert active(world) == "registry.test/runner:1.0.0"
    (entry,) = world.status["rejectedReleases"]
    assert entry["release"]["image"] == NEXT["image"]
    assert entry["reason"] == "Breach"
    assert conditions(world)["ReleaseDrift"] == ("True", "ReleaseRejected")
    assert conditions(world)["Stalled"] == ("True", "ReleaseRejected")
    assert conditions(world)["Ready"] == ("True", "Trading")


def test_a_person_may_try_a_rejected_release_and_success_clears_it() -> None:
    world = settled()
    world.outcome = PHASE.ROLLED_BACK
    world.change(release=NEXT)
    world.settle()
    world.outcome = PHASE.SUCCEEDED
    by_hand(world)
    world.settle()
    assert active(world) == NEXT["image"]
    assert world.status["rejectedReleases"] == []
    assert conditions(world)["ReleaseDrift"] == ("False", "AsWanted")


def test_taking_the_rejected_release_out_of_the_spec_needs_no_cutover() -> None:
    world = settled()
    world.outcome = PHASE.ROLLED_BACK
    world.change(release=NEXT)
    world.settle()
    world.change(release={"image": "registry.test/runner:1.0.0"})
    world.settle()
    assert len(world.cutovers) == 1
    assert "Stalled" not in conditions(world)


def test_a_failed_cutover_is_tried_again_when_it_is_deleted() -> None:
    world = settled()
    world.outcome = PHASE.FAILED
    world.change(release=NEXT)
    world.settle()
    assert conditions(world)["ReleaseDrift"] == ("True", "CutoverEnded")
    assert not world.status["rejectedReleases"]
    world.outcome = PHASE.SUCCEEDED
    world.cutovers.clear()
    world.settle()
    assert active(world) == NEXT["image"]


def test_manual_mode_waits_for_a_person() -> None:
    world = settled(cutover={"mode": "Manual"})
    world.change(release=NEXT)
    world.settle()
    assert not world.cutovers
    assert conditions(world)["ReleaseDrift"] == ("True", "Manual")
    by_hand(world)
    world.settle()
    assert active(world) == NEXT["image"]


def test_a_cutover_by_hand_is_not_undone_until_the_spec_changes() -> None:
    world = settled()
    by_hand(world, release=NEXT)
    world.settle()
    assert active(world) == NEXT["image"]
    assert list(world.cutovers) == ["by-hand"]
    assert conditions(world)["ReleaseDrift"] == ("True", "MovedByHand")
    world.change(release=THIRD)
    world.settle()
    assert active(world) == THIRD["image"]


def test_a_revert_in_git_is_a_move_like_any_other() -> None:
    world = settled()
    for release in (NEXT, {"image": "registry.test/runner:1.0.0"}):
        world.change(release=release)
        world.settle()
        assert active(world) == release["image"]
    assert len(world.cutovers) == 2


def test_the_oldest_waiting_cutover_is_claimed() -> None:
    world = settled()
    by_hand(world, "second", release=THIRD)
    by_hand(world, "first", release=NEXT)
    world.cutovers["first"]["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    by_hand(world, "another", release=NEXT)
    world.cutovers["another"]["spec"]["runner"] = "not-this-one"
    world.cutovers["another"]["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    world.look()
    assert world.status["cutover"] == "first"


@pytest.mark.parametrize("phase", FORWARD[:-1])
def test_under_a_cutover_it_is_reported_as_reconciling(phase: CutoverPhase) -> None:
    world = settled()
    world.change(release=NEXT)
    world.look()
    (name,) = world.cutovers
    until(world, name, phase)
    while not isinstance(world.look(), Wait):
        pass
    assert world.status["phase"] == "CuttingOver"
    assert conditions(world)["Reconciling"] == ("True", "CuttingOver")
    assert conditions(world)["ReleaseDrift"] == ("True", "CuttingOver")


def test_a_halted_cutover_keeps_the_runner_and_its_kill_switch() -> None:
    world = settled()
    world.outcome = PHASE.HALTED
    world.change(release=NEXT)
    world.settle()
    (name,) = world.cutovers
    assert world.status["cutover"] == name
    assert world.status["phase"] == "Halted"
    assert pod_of(world).annotations[ANNOTATION_KILL_SWITCH] == f"cutover {name} halted"
    assert conditions(world)["Stalled"] == ("True", "CutoverHalted")
    assert "Reconciling" not in conditions(world)
    assert active(world) == "registry.test/runner:1.0.0"
    assert [e["release"]["image"] for e in world.status["rejectedReleases"]] == [NEXT["image"]]


@pytest.mark.parametrize("way", ["deleted", "replaced"])
def test_a_person_resolves_a_halted_cutover(way: str) -> None:
    world = settled()
    world.outcome = PHASE.HALTED
    world.change(release=NEXT)
    world.settle()
    (name,) = world.cutovers
    world.outcome = PHASE.SUCCEEDED
    if way == "deleted":
        del world.cutovers[name]
    else:
        by_hand(world, release=THIRD)
    world.latched = ""
    world.settle()
    assert "cutover" not in world.status
    assert pod_of(world).annotations[ANNOTATION_KILL_SWITCH] == ""
    assert active(world) == ("registry.test/runner:1.0.0" if way == "deleted" else THIRD["image"])


def test_a_claimed_cutover_that_vanished_gives_the_runner_back() -> None:
    world = settled()
    world.change(release=NEXT)
    world.look()
    (name,) = world.cutovers
    until(world, name, PHASE.BAKING)
    world.cutovers.clear()
    world.change(release={"image": "registry.test/runner:1.0.0"})
    world.settle()
    assert "cutover" not in world.status
    assert active(world) == "registry.test/runner:1.0.0"
    assert pod_of(world).release == world.status["activeRelease"]["id"]


def test_history_and_rejections_are_bounded() -> None:
    world = settled()
    for number in range(12):
        world.outcome = PHASE.ROLLED_BACK if number % 2 else PHASE.SUCCEEDED
        world.change(release={"image": f"registry.test/runner:3.{number}"})
        world.settle()
    assert len(world.status["history"]) <= 10
    assert len(world.status["rejectedReleases"]) <= 10


# Orders to the pod.


def test_the_kill_switch_goes_before_everything_else() -> None:
    world = settled()
    world.api.remove(world.ref("StatefulSet"))
    world.change(killSwitch={"engaged": True, "reason": "drill"})
    step = decide(world.observe())
    assert isinstance(step, Annotate)
    assert step.annotations == {ANNOTATION_KILL_SWITCH: "spec: drill"}


def test_the_kill_switch_goes_on_a_pod_of_any_release_and_comes_off_its_own_alone() -> None:
    world = settled()
    world.pod = replace(pod_of(world), release="another")
    world.change(killSwitch={"engaged": True, "reason": "drill"})
    assert isinstance(world.look(), Annotate)
    world.change(killSwitch={"engaged": False})
    for _ in range(20):
        assert not isinstance(world.look(), Annotate)


def test_an_engaged_kill_switch_is_reported_and_latches() -> None:
    world = settled()
    world.change(killSwitch={"engaged": True, "reason": "drill"})
    world.settle()
    assert world.status["phase"] == "Halted"
    assert conditions(world)["KillSwitch"] == ("True", "Latched")
    assert conditions(world)["TradingEnabled"] == ("False", "KillSwitch")
    world.change(killSwitch={"engaged": False})
    world.settle()
    assert conditions(world)["KillSwitch"] == ("True", "Latched")
    assert pod_of(world).annotations[ANNOTATION_KILL_SWITCH] == ""


def test_a_latch_is_not_forgotten_when_the_process_is_silent() -> None:
    world = settled()
    world.change(killSwitch={"engaged": True, "reason": "drill"})
    world.settle()
    world.change(killSwitch={"engaged": False}, suspend=True)
    world.settle()
    assert world.process is None
    assert conditions(world)["KillSwitch"][0] == "True"


def test_the_source_is_halted_before_its_pod_goes() -> None:
    world = settled()
    world.change(release=NEXT)
    world.settle()
    halts = [
        number
        for number, step in enumerate(world.log)
        if isinstance(step, Annotate) and step.annotations.get(ANNOTATION_TRADING)
    ]
    deleted = [n for n, step in enumerate(world.log) if isinstance(step, Delete)]
    assert halts
    assert deleted
    assert halts[0] < deleted[0]


def test_a_pod_of_another_release_is_never_let_trade_again() -> None:
    world = settled()
    world.change(release=NEXT)
    world.look()
    (name,) = world.cutovers
    until(world, name, PHASE.BACKING_UP)
    halted = pod_of(world)
    assert halted.annotations[ANNOTATION_TRADING].startswith("halt ")
    step = world.look()
    assert isinstance(step, Apply)
    assert pod_of(world).annotations[ANNOTATION_TRADING].startswith("halt ")


# The pod.


def test_a_pod_is_replaced_only_when_the_controller_has_seen_the_template() -> None:
    world = settled()
    world.pod = replace(pod_of(world), release="another")
    live = world.api.objects[world.ref("StatefulSet")]
    live["status"]["observedGeneration"] = live["metadata"]["generation"] - 1
    assert isinstance(decide(world.observe()), WriteStatus | Wait)
    live["status"]["observedGeneration"] = live["metadata"]["generation"]
    step = decide(world.observe())
    assert isinstance(step, Delete)
    assert step.uid == pod_of(world).uid


@pytest.mark.parametrize("ready", [False, True])
def test_a_stuck_pod_gets_a_newer_template_a_working_one_does_not(ready: bool) -> None:
    world = settled()
    waiting = "" if ready else "CrashLoopBackOff"
    world.pod = replace(pod_of(world), ready=ready, waiting=waiting)
    live = world.api.objects[world.ref("StatefulSet")]
    live["status"] |= {"replicas": 1, "updatedReplicas": 0}
    assert isinstance(decide(world.observe()), Delete) is not ready


def test_changed_pod_settings_wait_for_the_next_restart() -> None:
    world = settled()
    before = pod_of(world).uid
    world.change(pod={"resources": {"memory": "1Gi"}})
    world.settle()
    assert applied(world) == ["StatefulSet"]
    assert pod_of(world).uid == before


def test_a_moved_tag_is_reported() -> None:
    world = settled()
    world.pod = replace(pod_of(world), image_id="registry.test/runner@sha256:other")
    world.look()
    assert conditions(world)["ImageMoved"] == ("True", "ImageChanged")


def test_suspending_stops_and_keeps_everything_else() -> None:
    world = settled()
    world.change(suspend=True)
    world.look()
    while not isinstance(world.look(), Wait):
        pass
    assert world.status["phase"] == "Stopping"
    world.settle()
    assert world.pod is None
    assert world.status["phase"] == "Suspended"
    assert world.api.get(world.ref("PersistentVolumeClaim", "demo-state"))
    world.change(suspend=False)
    world.settle()
    assert world.status["phase"] == "Trading"


def test_a_suspended_runner_claims_and_stamps_nothing() -> None:
    world = settled()
    world.change(suspend=True, release=NEXT)
    by_hand(world, release=THIRD)
    world.settle()
    assert list(world.cutovers) == ["by-hand"]
    assert "cutover" not in world.status
    assert conditions(world)["ReleaseDrift"] == ("True", "Suspended")


# What a person must put right.


def test_a_lost_claim_is_not_made_again() -> None:
    world = settled()
    world.api.remove(world.ref("PersistentVolumeClaim", "demo-state"))
    world.carry_out(Delete(world.ref("Pod", "demo-0"), pod_of(world).uid))
    world.settle()
    assert conditions(world)["Stalled"] == ("True", "StateLost")
    assert world.status["phase"] == "Stalled"
    assert not applied(world)


def test_a_lost_claim_is_made_again_for_a_cold_start() -> None:
    world = settled()
    world.api.remove(world.ref("PersistentVolumeClaim", "demo-state"))
    world.settle()
    world.change(release={"image": "registry.test/runner:1.0.0", "coldStart": True})
    world.settle()
    assert world.api.get(world.ref("PersistentVolumeClaim", "demo-state"))
    assert world.status["activeRelease"]["coldStart"] is True
    assert world.status["phase"] == "Trading"


def test_a_claim_whose_volume_is_lost_is_reported() -> None:
    world = settled()
    claim = world.api.objects[world.ref("PersistentVolumeClaim", "demo-state")]
    claim["status"] = {"phase": "Lost"}
    world.look()
    assert conditions(world)["Stalled"] == ("True", "StateLost")


def test_the_volume_of_an_earlier_runner_is_taken_over_as_it_is() -> None:
    world = settled()
    claim = world.api.objects[world.ref("PersistentVolumeClaim", "demo-state")]
    again = RunnerWorld(spec=spec(state={"accessMode": "ReadWriteOnce", "size": "100Mi"}))
    again.meta["uid"] = "another-uid"
    again.api.objects[again.ref("PersistentVolumeClaim", "demo-state")] = claim
    again.settle()
    assert again.status["phase"] == "Trading"
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


def config_ref(world: RunnerWorld) -> Any:
    return world.ref("ConfigMap", world.status["activeRelease"]["configMap"])


def test_a_deleted_configuration_is_rendered_again() -> None:
    world = settled()
    before = world.api.get(config_ref(world))
    world.api.remove(config_ref(world))
    world.settle()
    after = world.api.get(config_ref(world))
    assert after is not None
    assert before is not None
    assert after["data"] == before["data"]


def test_a_configuration_that_the_spec_no_longer_means_comes_from_its_copy() -> None:
    world = settled(cutover={"mode": "Manual"})
    before = world.api.get(config_ref(world))
    world.change(strategy={"name": "another"})
    world.settle()
    world.api.remove(config_ref(world))
    world.settle()
    after = world.api.get(config_ref(world))
    assert after is not None
    assert before is not None
    assert after["data"] == before["data"]


def test_a_configuration_without_any_copy_is_reported_as_lost() -> None:
    world = settled(cutover={"mode": "Manual"})
    world.change(strategy={"name": "another"})
    world.settle()
    world.api.remove(config_ref(world))
    world.api.remove(world.ref("StatefulSet"))
    world.look()
    world.settle()
    assert conditions(world)["Stalled"] == ("True", "ConfigLost")


def test_a_forged_copy_is_not_believed() -> None:
    world = settled(cutover={"mode": "Manual"})
    world.change(strategy={"name": "another"})
    world.settle()
    world.api.remove(config_ref(world))
    live = world.api.objects[world.ref("StatefulSet")]
    digest = world.status["activeRelease"]["configHash"]
    live["metadata"]["annotations"]["tradepulse.io/configs"] = f'{{"{digest}": "evil: 1"}}'
    world.settle()
    assert conditions(world)["Stalled"] == ("True", "ConfigLost")
    assert world.api.get(config_ref(world)) is None


@pytest.mark.parametrize("kind", ["Service", "StatefulSet"])
def test_an_object_of_someone_else_is_left_alone(kind: str) -> None:
    world = RunnerWorld()
    body = {"apiVersion": world.ref(kind).api_version, "kind": kind, "spec": {"replicas": 0}}
    other = {
        **body,
        "metadata": {
            "name": NAME,
            "namespace": "trading",
            "uid": "x",
            "ownerReferences": [{"uid": "someone", "controller": True}],
        },
    }
    world.api.objects[world.ref(kind)] = other
    world._statefulset_controller = lambda: None  # type: ignore[method-assign]
    world.settle()
    assert conditions(world)["Stalled"] == ("True", "NameTaken")
    assert kind not in applied(world)


def test_without_a_service_monitor_kind_everything_else_stands() -> None:
    world = RunnerWorld(unserved=frozenset({"ServiceMonitor"}))
    world.settle()
    assert world.status["phase"] == "Trading"
    assert "ServiceMonitor" not in applied(world)
    assert conditions(world)["Monitored"] == ("False", "ServiceMonitorMissing")


# Pruning.


def test_old_cutovers_are_pruned_but_not_those_by_hand() -> None:
    world = settled(cutover={"historyLimit": 2})
    by_hand(world, release={"image": "registry.test/runner:0.9"})
    world.settle()
    for number in range(5):
        world.change(release={"image": f"registry.test/runner:4.{number}"})
        world.settle()
    assert "by-hand" in world.cutovers
    assert len(world.cutovers) == 3


def test_pruning_does_not_start_a_failed_cutover_again() -> None:
    world = settled(cutover={"historyLimit": 1})
    world.change(release=NEXT)
    world.settle()
    world.outcome = PHASE.FAILED
    world.change(release=THIRD)
    world.settle()
    assert len(world.cutovers) == 1
    assert active(world) == NEXT["image"]


def configs(world: RunnerWorld) -> set[str]:
    return {ref.name for ref in world.api.objects if ref.kind == "ConfigMap"}


def test_old_configurations_are_pruned_but_not_those_a_rollback_needs() -> None:
    world = settled()
    for number in range(4):
        world.change(strategy={"name": "momentum", "parameters": {"window": number}})
        world.settle()
    status = world.status
    assert configs(world) == {
        status[key]["configMap"] for key in ("activeRelease", "previousRelease")
    }


def test_a_configuration_that_a_cutover_may_just_have_applied_is_kept() -> None:
    world = settled(cutover={"mode": "Manual"})
    old = config_ref(world)
    live = world.api.get(old)
    assert live is not None
    fresh = {**live, "metadata": {**live["metadata"], "name": "demo-fresh", "uid": "fresh"}}
    world.api.objects[world.ref("ConfigMap", "demo-fresh")] = fresh
    by_hand(world)
    for _ in range(8):
        world.look()
    assert "demo-fresh" in configs(world)
    world.cutovers.clear()
    world.settle()
    assert "demo-fresh" not in configs(world)


# The end.


def test_a_deleted_runner_stops_cleanly_before_it_goes() -> None:
    world = settled()
    world.remove()
    step = world.look()
    assert isinstance(step, Apply)
    assert step.manifest["spec"]["replicas"] == 0
    world.look()
    assert world.status["phase"] == "Stopping"
    assert isinstance(world.look(), Wait)
    for _ in range(10):
        if isinstance(world.look(), Wait):
            world.tick()
    assert world.gone
    assert world.pod is None
    assert CLEAN_STOP not in world.meta["finalizers"]


def test_a_deleted_runner_that_others_hold_is_left_alone() -> None:
    world = settled()
    world.meta["finalizers"] = ["someone.else/hold"]
    world.remove()
    assert isinstance(world.look(), Wait)


def test_a_pod_without_its_stateful_set_is_stopped_at_the_end() -> None:
    world = settled()
    world.api.remove(world.ref("StatefulSet"))
    world.remove()
    assert isinstance(world.look(), Delete)


def test_a_stateful_set_of_unknown_making_is_scaled_down_as_it_is() -> None:
    world = settled()
    world.status = {}
    world.remove()
    step = world.look()
    assert isinstance(step, Replace)
    assert step.manifest["spec"]["replicas"] == 0


def test_finalizers_of_others_stay() -> None:
    world = RunnerWorld()
    world.meta["finalizers"] = ["someone.else/hold"]
    world.settle()
    assert world.meta["finalizers"] == ["someone.else/hold", CLEAN_STOP]
    world.remove()
    for _ in range(20):
        if isinstance(world.look(), Wait):
            world.tick()
    assert world.meta["finalizers"] == ["someone.else/hold"]
