"""A release waits for its sign-offs, and nobody signs as somebody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.e2e import scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, is_true, phase, wait_for

RUNNER = "signed"
RBAC = "rbac.authorization.k8s.io"


def bind(cluster: Cluster, namespace: str, person: str, role: str) -> None:
    """Let `person` edit cutovers and sign in `role`."""
    rules: list[Manifest] = [
        {
            "apiGroups": ["tradepulse.io"],
            "resources": ["releasecutovers"],
            "verbs": ["get", "patch"],
        },
        {
            "apiGroups": ["tradepulse.io"],
            "resources": ["approvals"],
            "resourceNames": [role],
            "verbs": ["sign"],
        },
    ]
    meta = {"name": f"signs-{role}", "namespace": namespace}
    api = f"{RBAC}/v1"
    cluster.apply({"apiVersion": api, "kind": "Role", "metadata": meta, "rules": rules})
    cluster.apply(
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": meta["name"]},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": person}],
        }
    )


class Desk:
    """A cutover on which people sign."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        bind(cluster, namespace, "ada", "risk")
        bind(cluster, namespace, "bob", "platform")
        template = {**scenario.POLICY, "approvals": {"required": ["risk", "platform"]}}
        settings = {"mode": "Automatic", "template": template}
        scenario.start(cluster, RUNNER, namespace, cutover=settings)
        self.name = scenario.release(cluster, RUNNER, namespace, scenario.NEXT)
        found = scenario.reaches(cluster, self.name, namespace, "AwaitingApproval")
        self.release = str(found["status"]["target"]["id"])

    def sign(self, person: str, *grants: Manifest) -> None:
        """Write `grants` as `person`; raises RuntimeError with what the API server says."""
        patch: dict[str, Any] = {"spec": {"approvals": {"granted": list(grants)}}}
        self.cluster.kubectl(
            "--as", person, "-n", self.namespace, "patch", "releasecutover", self.name,
            "--type", "merge", "-p", json.dumps(patch),
        )  # fmt: skip

    def grant(self, role: str, by: str, release: str = "") -> Manifest:
        return {"role": role, "by": by, "release": release or self.release}

    def says(self, words: str) -> Manifest:
        """Wait until the cutover waits for what `words` say."""

        def look() -> Manifest | None:
            found = self.cluster.cutover(self.name, self.namespace)
            message = (found or {})["status"].get("message", "")
            return found if words in message else None

        return wait_for(f"the cutover to say {words!r}", look, seconds=30)


@pytest.fixture(scope="module")
def desk(cluster: Cluster, namespace: str) -> Desk:
    return Desk(cluster, namespace)


def test_it_waits_and_the_runner_trades_on(desk: Desk) -> None:
    desk.says(f"waits for release {desk.release} to be signed off by risk, platform")
    runner = desk.cluster.runner(RUNNER, desk.namespace) or {}
    assert is_true(runner, "TradingEnabled")
    assert runner["status"]["activeRelease"]["image"] == scenario.GOOD


@pytest.mark.parametrize(
    ("person", "role", "by", "says"),
    [
        ("ada", "risk", "eve", "you are ada and sign under no other name"),
        ("ada", "platform", "ada", "ada may not sign as platform"),
        ("mallory", "risk", "mallory", "forbidden"),
    ],
)
def test_nobody_signs_as_somebody_else(
    desk: Desk, person: str, role: str, by: str, says: str
) -> None:
    with pytest.raises(RuntimeError, match=says):
        desk.sign(person, desk.grant(role, by))
    found = desk.cluster.cutover(desk.name, desk.namespace) or {}
    assert not found["spec"]["approvals"].get("granted")


def test_what_the_policy_asks_for_cannot_be_taken_out(desk: Desk) -> None:
    body: Manifest = {"spec": {"approvals": {"required": []}}}
    with pytest.raises(Exception, match=r"approvals\.required is immutable"):
        desk.cluster.patch("ReleaseCutover", desk.name, desk.namespace, body, API_VERSION)


def test_it_moves_once_everyone_has_signed_this_very_release(desk: Desk) -> None:
    risk = desk.grant("risk", "ada")
    desk.sign("ada", risk)
    desk.says("to be signed off by platform")
    with pytest.raises(RuntimeError, match="bob may not sign as risk"):
        desk.sign("bob")  # an empty list takes ada's signature back
    desk.sign("bob", risk, desk.grant("platform", "bob", "0000000000"))
    found = desk.says("bob signed release 0000000000 as platform, which is another one")
    assert phase(found) == "AwaitingApproval"
    desk.sign("bob", risk, desk.grant("platform", "bob"))
    found = scenario.reaches(desk.cluster, desk.name, desk.namespace, "Succeeded")
    halting = next(r for r in found["status"]["phases"] if r["phase"] == "Halting")
    assert halting["message"].startswith("signed off by ada (risk), bob (platform)")
