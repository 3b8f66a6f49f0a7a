"""A self-healing Argo CD and the operator never disagree about a field: Git's is the spec, and what
really runs is in the status alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cluster.api import paths
from tests.support.e2e import environment, scenario
from tests.support.e2e.client import API_VERSION, Manifest, condition, is_true, phase, wait_for
from tests.support.gitops.story import DESKS, Chapter, Desk, Story
from tests.support.services.process import Child
from tradepulse_operator.common.names import MANAGER

ARGO = "argocd-controller"
BAD = scenario.BAD["error rate"]

each_desk = pytest.mark.parametrize("desk", DESKS, ids=lambda desk: desk.name)


def owners(manifest: Manifest, part: str) -> set[str]:
    """Managers of any field below ``f:part``."""
    entries = manifest["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if f"f:{part}" in entry["fieldsV1"]}


def pod_uid(story: Story, desk: Desk) -> str:
    pod = story.cluster.get("Pod", f"{desk.name}-0", story.namespace)
    assert pod is not None
    return str(pod["metadata"]["uid"])


# -- the first commit ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(story: Story) -> Chapter:
    chapter = story.begin()
    for desk in DESKS:
        scenario.trading(story.cluster, desk.name, story.namespace)
    story.settle(chapter, "Healthy")
    return chapter


@each_desk
def test_the_first_commit_is_synced_and_healthy(first: Chapter, desk: Desk) -> None:
    resources = first.applications[desk.name]["status"]["resources"]
    kinds = sorted(item["kind"] for item in resources)
    assert kinds == ["ConfigMap", "TradingRunner"], "children are the operator's, not Git's"


def test_at_rest_nobody_writes(story: Story, first: Chapter) -> None:
    """Over several comparisons and resyncs each object stays the very one that it was."""
    environment.settled()

    def versions() -> dict[str, str]:
        found = {desk.name: story.cluster.runner(desk.name, story.namespace) for desk in DESKS}
        return {
            name: str((item or {})["metadata"]["resourceVersion"]) for name, item in found.items()
        }

    before = versions()
    story.await_comparisons(4)
    environment.await_resyncs(1)
    assert versions() == before


@each_desk
def test_what_a_person_changes_is_healed(story: Story, first: Chapter, desk: Desk) -> None:
    """Self-heal is on, and the watch sees a difference: without this the others prove nothing."""
    application, before = story.applications[desk.name], first.runners[desk.name]
    with application.watched() as watched:
        body = {"spec": {"cutover": {"template": {"bake": "33s"}}}}
        story.cluster.patch("TradingRunner", desk.name, story.namespace, body, API_VERSION)

        def healed() -> bool:
            found = story.cluster.runner(desk.name, story.namespace)
            assert found is not None
            changed: bool = found["metadata"]["generation"] > before["metadata"]["generation"]
            return changed and found["spec"] == before["spec"]

        wait_for("the change to be healed", healed, seconds=60)
        application.reaches(first.revision, "Healthy")
    assert watched.recording.drifted
    assert watched.recording.heals > 0


# -- a good release --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(story: Story, first: Chapter) -> Chapter:
    return released(story, scenario.NEXT, "Succeeded", "Healthy")


def released(story: Story, image: str, ends: str, health: str) -> Chapter:
    """Commit a release for both desks, and follow it to the end."""

    def revise() -> str:
        return story.commit(f"Release {image}", lambda desk: desk.release(story.namespace, image))

    with story.chapter(revise) as chapter:
        for desk in DESKS:
            name = story.cutover_to(desk, image)
            found = scenario.reaches(story.cluster, name, story.namespace, ends, seconds=600)
            chapter.cutovers[desk.name] = found
        for desk in DESKS:
            scenario.trading(story.cluster, desk.name, story.namespace)
        story.settle(chapter, health)
    return chapter


@each_desk
def test_a_good_release_is_promoted(good: Chapter, desk: Desk) -> None:
    status = good.runners[desk.name]["status"]
    assert status["activeRelease"]["image"] == scenario.NEXT
    assert_moved(good, desk, "Healthy")


def assert_moved(chapter: Chapter, desk: Desk, end: str) -> None:
    """From Healthy to `end` with nothing but Progressing between; a runner in Manual mode may be
    seen before its cutover."""
    begun, *between, ended = chapter.watched[desk.name].healths
    assert (begun, ended) == ("Healthy", end)
    assert "Progressing" in between
    waiting = {"Suspended"} if desk.by_hand else set()
    assert set(between) <= {"Progressing", *waiting}


# -- a bad release ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad(story: Story, good: Chapter) -> Chapter:
    return released(story, BAD, "RolledBack", "Degraded")


@each_desk
def test_the_effective_release_is_in_the_status_alone(bad: Chapter, desk: Desk) -> None:
    runner = bad.runners[desk.name]
    assert runner["spec"]["release"]["image"] == BAD, "what Git says"
    assert runner["status"]["activeRelease"]["image"] == scenario.NEXT, "what runs"
    assert is_true(runner, "ReleaseDrift")
    assert (condition(runner, "ReleaseDrift") or {})["reason"] == "ReleaseRejected"


@each_desk
def test_a_release_that_git_wants_and_that_was_refused_is_degraded(
    bad: Chapter, desk: Desk
) -> None:
    assert_moved(bad, desk, "Degraded")


# -- both ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["good", "bad"])
def cut_over(request: pytest.FixtureRequest, good: Chapter, bad: Chapter) -> Chapter:
    return {"good": good, "bad": bad}[request.param]


@each_desk
def test_never_out_of_sync(cut_over: Chapter, desk: Desk) -> None:
    """Once Argo CD had applied the commit, it saw no difference at any moment of the cutover."""
    assert cut_over.watched[desk.name].drifted == []
    assert {state.sync for state in cut_over.watched[desk.name].states} <= {"Synced", "OutOfSync"}


@each_desk
def test_the_commit_is_the_only_sync(cut_over: Chapter, desk: Desk) -> None:
    assert cut_over.watched[desk.name].syncs == 1
    assert cut_over.watched[desk.name].heals == 0


@each_desk
def test_no_field_is_fought_over(
    good: Chapter, bad: Chapter, cut_over: Chapter, desk: Desk
) -> None:
    runner = cut_over.runners[desk.name]
    assert ARGO in owners(runner, "spec")
    assert MANAGER not in owners(runner, "spec")
    assert owners(runner, "status") == {MANAGER}
    generations = [c.runners[desk.name]["metadata"]["generation"] for c in (good, bad)]
    assert generations[1] - generations[0] == 1, "the spec was written by the commit alone"
    assert cut_over.cutovers[desk.name]["metadata"]["generation"] == 1


@each_desk
def test_argo_cd_counts_only_what_is_in_git(cut_over: Chapter, desk: Desk) -> None:
    resources = cut_over.applications[desk.name]["status"]["resources"]
    cutovers = [item["name"] for item in resources if item["kind"] == "ReleaseCutover"]
    mine = cut_over.cutovers[desk.name]["metadata"]["name"]
    assert (mine in cutovers) is desk.by_hand
    assert {item["kind"] for item in resources} <= {"ConfigMap", "TradingRunner", "ReleaseCutover"}


# -- git revert ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reverted(story: Story, bad: Chapter) -> tuple[Chapter, dict[str, str]]:
    """The bad commit taken back, and the pods of before."""
    pods = {desk.name: pod_uid(story, desk) for desk in DESKS}
    with story.chapter(story.revert) as chapter:
        story.settle(chapter, "Healthy")
    return chapter, pods


@each_desk
def test_a_revert_is_healthy_again_without_a_restart(
    story: Story, reverted: tuple[Chapter, dict[str, str]], desk: Desk
) -> None:
    chapter, pods = reverted
    assert pod_uid(story, desk) == pods[desk.name]
    assert not is_true(chapter.runners[desk.name], "ReleaseDrift")
    assert phase(chapter.runners[desk.name]) == "Trading"
    assert chapter.watched[desk.name].drifted == []
    assert chapter.watched[desk.name].syncs == 1


# -- removal ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def removed(
    story: Story, reverted: tuple[Chapter, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Chapter, dict[str, list[Manifest]]]:
    """The runners' files deleted from Git; and what each process logged until its end."""
    folder = tmp_path_factory.mktemp("logs")
    followers = {desk.name: follow(story, desk, folder) for desk in DESKS}
    with story.chapter(lambda: story.commit("Close both desks", Desk.removal)) as chapter:
        for desk in DESKS:
            await_end(story, desk)
        story.settle(chapter, "Healthy")
    for follower in followers.values():
        follower.stop()
    return chapter, {name: lines(child.log) for name, child in followers.items()}


def follow(story: Story, desk: Desk, folder: Path) -> Child:
    """The log of a runner's process, into a file."""
    words = ["-n", story.namespace, "logs", "--follow", f"{desk.name}-0", "-c", "runner"]
    log = folder / f"{desk.name}.log"
    command: list[str | Path] = [paths.kubectl, "--kubeconfig", story.cluster.kubeconfig, *words]
    child = Child(command, log)
    child.wait_until(lambda: log.stat().st_size > 0, "kubectl logs")
    return child


def lines(log: Path) -> list[Manifest]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def await_end(story: Story, desk: Desk) -> None:
    """Until the runner is gone; its pod has to be gone before it."""

    def gone() -> bool:
        runner = story.cluster.runner(desk.name, story.namespace)
        pod = story.cluster.get("Pod", f"{desk.name}-0", story.namespace)
        assert not (runner is None and pod is not None), "the runner vanished before its pod"
        return runner is None

    wait_for(f"{desk.name} to be gone", gone, seconds=120)


@each_desk
def test_removal_stops_trading_cleanly(
    story: Story, removed: tuple[Chapter, dict[str, list[Manifest]]], desk: Desk
) -> None:
    """Every order is cancelled before the process ends; the order state outlives the runner."""
    _, logs = removed
    ends = [line for line in logs[desk.name] if line["message"] == "live_loop.shutdown"]
    assert [line["orders_left"] for line in ends] == [0]
    assert story.cluster.get("PersistentVolumeClaim", f"{desk.name}-state", story.namespace)


@each_desk
def test_removal_is_synced(removed: tuple[Chapter, dict[str, list[Manifest]]], desk: Desk) -> None:
    chapter, _ = removed
    assert chapter.watched[desk.name].drifted == []
    resources = chapter.applications[desk.name]["status"]["resources"]
    assert [item["kind"] for item in resources] == ["ConfigMap"]
