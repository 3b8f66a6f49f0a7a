"""A good release is promoted on evidence; two pods never exist at once."""

from __future__ import annotations

import json

import pytest

from tests.support.e2e import scenario
from tests.support.e2e.client import (
    API_VERSION,
    Cluster,
    Manifest,
    condition,
    is_true,
    phase,
    wait_for,
)
from tests.support.e2e.watching import PodWatch

RUNNER = "good"


@pytest.fixture(scope="module")
def promoted(cluster: Cluster, namespace: str) -> tuple[Manifest, PodWatch]:
    """A runner moved from one good release to another, and every pod seen meanwhile."""
    scenario.start(cluster, RUNNER, namespace)
    with PodWatch(cluster, namespace, RUNNER) as pods:
        name = scenario.release(cluster, RUNNER, namespace, scenario.NEXT)
        found = scenario.reaches(cluster, name, namespace, "Succeeded")
    return found, pods


def test_it_went_through_every_phase_once(promoted: tuple[Manifest, PodWatch]) -> None:
    phases = [record["phase"] for record in promoted[0]["status"]["phases"]]
    expected = "Pending Preflight Halting BackingUp Switching Baking Succeeded"
    assert phases == expected.split()


def test_only_verified_seconds_baked_it(promoted: tuple[Manifest, PodWatch]) -> None:
    assert promoted[0]["status"]["bake"]["verifiedSeconds"] >= 20


def test_never_two_writers(promoted: tuple[Manifest, PodWatch]) -> None:
    """At no event of the watch did two pods of the runner exist."""
    assert promoted[1].seen >= 2
    assert promoted[1].most_at_once == 1


def test_the_state_was_backed_up_before_the_new_release_started(
    cluster: Cluster, namespace: str, promoted: tuple[Manifest, PodWatch]
) -> None:
    backup = promoted[0]["status"]["backup"]
    assert backup["id"] == promoted[0]["metadata"]["uid"]
    assert backup["files"] > 0
    manifest = f"/var/lib/tradepulse/backups/{backup['id']}/manifest.json"
    text = cluster.inside(f"{RUNNER}-0", namespace, f"print(open({manifest!r}).read())")
    assert json.loads(text)


def test_the_runner_tells_its_new_release(
    cluster: Cluster, namespace: str, promoted: tuple[Manifest, PodWatch]
) -> None:
    runner = scenario.trading(cluster, RUNNER, namespace)
    status = runner["status"]
    assert status["activeRelease"]["image"] == scenario.NEXT
    assert status["previousRelease"]["image"] == scenario.GOOD
    assert status.get("cutover") is None
    assert status["history"][0]["cutover"] == promoted[0]["metadata"]["name"]
    assert is_true(promoted[0], "Ready")
    assert condition(promoted[0], "Reconciling") is None


def test_describe_shows_each_transition_once(
    cluster: Cluster, namespace: str, promoted: tuple[Manifest, PodWatch]
) -> None:
    name = promoted[0]["metadata"]["name"]

    def look() -> list[str] | None:
        events = cluster.objects("Event", namespace)
        mine = [item for item in events if item["involvedObject"]["name"] == name]
        reasons = [item["reason"] for item in mine]
        return reasons if "Succeeded" in reasons else None

    reasons = wait_for("the events of the cutover", look)
    assert sorted(reasons) == sorted(set(reasons))
    described = cluster.kubectl("-n", namespace, "describe", "releasecutover", name)
    assert "Succeeded" in described


def test_abort_goes_back_by_hand(cluster: Cluster, namespace: str) -> None:
    """`spec.abort` while it bakes is a manual rollback."""
    scenario.start(cluster, "abort", namespace)
    name = scenario.release(cluster, "abort", namespace, scenario.NEXT)
    scenario.reaches(cluster, name, namespace, "Baking")
    cluster.patch("ReleaseCutover", name, namespace, {"spec": {"abort": True}}, API_VERSION)
    found = scenario.reaches(cluster, name, namespace, "RolledBack")
    assert found["status"]["rollback"]["reason"] == "Aborted"
    runner = scenario.trading(cluster, "abort", namespace)
    assert runner["status"]["activeRelease"]["image"] == scenario.GOOD


def test_an_image_that_cannot_be_had_rolls_back(cluster: Cluster, namespace: str) -> None:
    """A broken revision can't hold the runner: the StatefulSet is OnDelete (kubernetes#67250)."""
    scenario.start(cluster, "noimage", namespace)
    missing = f"{scenario.REPOSITORY}:9.9.9"
    name = scenario.release(cluster, "noimage", namespace, missing)
    scenario.reaches(cluster, name, namespace, "RolledBack")
    runner = scenario.trading(cluster, "noimage", namespace)
    assert runner["status"]["activeRelease"]["image"] == scenario.GOOD
    rejected = runner["status"]["rejectedReleases"]
    assert [entry["release"]["image"] for entry in rejected] == [missing]


def test_manual_mode_waits_for_a_person(cluster: Cluster, namespace: str) -> None:
    name = "manual"
    scenario.start(
        cluster, name, namespace, cutover={"mode": "Manual", "template": scenario.POLICY}
    )
    body = {"spec": {"release": {"image": scenario.NEXT}}}
    cluster.patch("TradingRunner", name, namespace, body, API_VERSION)
    wait_for(
        "the drift to be told", lambda: is_true(cluster.runner(name, namespace), "ReleaseDrift")
    )
    assert cluster.cutovers(namespace, name) == []
    by_hand = {
        "apiVersion": API_VERSION,
        "kind": "ReleaseCutover",
        "metadata": {"name": "by-hand", "namespace": namespace},
        "spec": {"runner": name, **scenario.POLICY},
    }
    cluster.apply(by_hand)
    scenario.reaches(cluster, "by-hand", namespace, "Succeeded")
    runner = scenario.trading(cluster, name, namespace)
    assert runner["status"]["activeRelease"]["image"] == scenario.NEXT
    assert phase(cluster.cutover("by-hand", namespace)) == "Succeeded"
