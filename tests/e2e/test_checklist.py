"""What must hold before a running release is touched: seen on pods beside it, on a real cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.e2e import scenario
from tests.support.e2e.client import Cluster, Manifest, is_true, phase, wait_for
from tradepulse_operator.cli.main import main

RUNNER = "checked"
#: Seconds, for what takes five to twenty on a machine that does nothing else.
PATIENCE = 300
BAD = scenario.BAD["error rate"]
RBAC = "rbac.authorization.k8s.io"
CUTOVERS = {"apiGroups": ["tradepulse.io"], "resources": ["releasecutovers"]}
WAIVE = {
    "apiGroups": ["tradepulse.io"],
    "resources": ["checks"],
    "resourceNames": ["secrets"],
    "verbs": ["waive"],
}


def allow(cluster: Cluster, namespace: str, person: str, *rules: Manifest) -> None:
    """Let `person` edit cutovers, and what `rules` say."""
    meta, api = {"name": f"of-{person}", "namespace": namespace}, f"{RBAC}/v1"
    edit = {**CUTOVERS, "verbs": ["get", "patch"]}
    cluster.apply({"apiVersion": api, "kind": "Role", "metadata": meta, "rules": [edit, *rules]})
    cluster.apply(
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": meta["name"]},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": person}],
        }
    )


class Gate:
    """A runner whose policy asks for checks and a rehearsal; its object store's Secret is missing,
    which the process trades on without, and which `secrets` finds."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        allow(cluster, namespace, "ada", WAIVE)
        allow(cluster, namespace, "mallory")
        store = {
            "endpoint": "https://198.18.100.1:7999",
            "bucket": "nowhere",
            "credentialsSecret": "missing",
        }
        template = {
            **scenario.POLICY,
            # How fast it is isn't the matter here, and a busy machine is no bad release.
            "guardrails": {**scenario.POLICY["guardrails"], "p95Latency": "10s"},
            "switchDeadline": "5m",
            "checklist": [{"name": "image"}, {"name": "config"}, {"name": "secrets"}],
            "rehearsal": {"required": True, "duration": "10s", "minOrders": 10},
        }
        found = scenario.runner(
            RUNNER,
            namespace,
            cutover={"mode": "Automatic", "template": template},
            state={"size": "64Mi", "backups": {"keep": 5, "objectStore": store}},
        )
        cluster.apply(found)
        scenario.trading(cluster, RUNNER, namespace, seconds=PATIENCE)
        self.pod = self.uid()
        self.bad = scenario.release(cluster, RUNNER, namespace, BAD)

    def uid(self) -> str:
        """Of the pod that trades."""
        found = self.cluster.get("Pod", f"{RUNNER}-0", self.namespace)
        return str((found or {}).get("metadata", {}).get("uid"))

    def says(self, cutover: str, words: str) -> Manifest:
        """Wait until the cutover says `words`."""

        def look() -> Manifest | None:
            found = self.cluster.cutover(cutover, self.namespace) or {}
            return found if words in (found.get("status") or {}).get("message", "") else None

        return wait_for(f"{cutover} to say {words!r}", look, seconds=PATIENCE)

    def beside(self, cutover: str, kind: str) -> Manifest:
        """The live pod that checks or rehearses the cutover's target."""
        uid = (self.cluster.cutover(cutover, self.namespace) or {})["metadata"]["uid"]
        look = lambda: self.cluster.get("Pod", f"{kind}-{uid}", self.namespace)  # noqa: E731
        return wait_for(f"the {kind} pod of {cutover}", look, seconds=PATIENCE)

    def waive(self, cutover: str, person: str, by: str = "ada", check: str = "secrets") -> None:
        """Waive as `person`, in the name of `by`; raises RuntimeError with the API's answer."""
        waiver = {"check": check, "by": by, "reason": "Backups stay on the volume today."}
        patch: dict[str, Any] = {"spec": {"waivers": [waiver]}}
        self.cluster.kubectl(
            "--as", person, "-n", self.namespace, "patch", "releasecutover", cutover,
            "--type", "merge", "-p", json.dumps(patch),
        )  # fmt: skip


@pytest.fixture(scope="module")
def gate(cluster: Cluster, namespace: str) -> Gate:
    return Gate(cluster, namespace)


def shut_in(gate: Gate, pod: Manifest) -> None:
    """No token, no Secret but for a look at it, and a policy that lets nothing out."""
    spec, labels = pod["spec"], pod["metadata"]["labels"]
    assert spec["automountServiceAccountToken"] is False
    assert not any("projected" in each for each in spec["volumes"])
    policy = gate.cluster.get(
        "NetworkPolicy", f"{RUNNER}-beside", gate.namespace, "networking.k8s.io/v1"
    )
    assert policy is not None
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not policy["spec"].get("egress")


def test_a_check_that_fails_holds_the_release_and_names_the_remedy(gate: Gate) -> None:
    # In a namespace that enforces Pod Security "restricted".
    shut_in(gate, gate.beside(gate.bad, "check"))
    found = gate.says(gate.bad, "create the Secret it is of")
    assert phase(found) == "Preflight"
    items = {one["name"]: one for one in found["status"]["checklist"]}
    assert {name: one["result"] for name, one in items.items()} == {
        "image": "Pass",
        "config": "Pass",
        "secrets": "Fail",
        "rehearsal": "Pending",
    }
    assert items["image"]["message"] == found["status"]["target"]["imageId"]
    assert gate.uid() == gate.pod


@pytest.mark.parametrize(
    ("person", "by", "check", "says"),
    [
        ("mallory", "mallory", "secrets", "mallory may not waive secrets"),
        ("mallory", "ada", "secrets", "you are mallory and waive under no other name"),
        ("ada", "ada", "rehearsal", "ada may not waive rehearsal"),
    ],
)
def test_nobody_goes_on_without_the_right_to(
    gate: Gate, person: str, by: str, check: str, says: str
) -> None:
    with pytest.raises(RuntimeError, match=says):
        gate.waive(gate.bad, person, by, check)
    found = gate.cluster.cutover(gate.bad, gate.namespace) or {}
    assert not found["spec"].get("waivers")


def test_a_bad_release_fails_its_rehearsal_and_the_live_one_is_never_touched(gate: Gate) -> None:
    gate.waive(gate.bad, "ada")
    pod = gate.beside(gate.bad, "rehearsal")
    shut_in(gate, pod)
    assert not any("secret" in each for each in pod["spec"]["volumes"])
    found = gate.says(gate.bad, "orders failed")
    assert phase(found) == "Preflight"
    assert found["status"]["rehearsal"]["result"] == "Fail"
    waived = next(one for one in found["status"]["checklist"] if one["name"] == "secrets")
    assert (waived["result"], waived["by"]) == ("Waived", "ada")
    assert gate.uid() == gate.pod
    assert is_true(gate.cluster.runner(RUNNER, gate.namespace), "TradingEnabled")


def test_readiness_tells_what_is_open_and_who_waived_what(gate: Gate, tmp_path: Path) -> None:
    """Of what kubectl prints, offline."""
    file = tmp_path / "it.yaml"
    objects = (f"releasecutover/{gate.bad}", f"tradingrunner/{RUNNER}")
    file.write_text(gate.cluster.kubectl("-n", gate.namespace, "get", *objects, "-o", "yaml"))
    said = CliRunner().invoke(main, ["readiness", str(file)])
    assert said.exit_code == 0, said.output
    print(said.output)
    assert "Not ready.\n- rehearsal: Fail: " in said.output
    assert "| secrets | Waived | ada |" in said.output
    assert f"| Image | {scenario.GOOD} | {BAD} |" in said.output


def test_a_good_release_passes_and_moves_on(gate: Gate) -> None:
    """The bad one's cutover ends, as the spec means another release by now."""
    good = scenario.release(gate.cluster, RUNNER, gate.namespace, scenario.NEXT)
    assert phase(gate.says(gate.bad, "Superseded")) == "Failed"
    gate.says(good, "create the Secret it is of")
    gate.waive(good, "ada")
    found = scenario.reaches(
        gate.cluster, good, gate.namespace, "Switching", "Baking", seconds=PATIENCE
    )
    rehearsal = found["status"]["rehearsal"]
    assert rehearsal["result"] == "Pass"
    assert rehearsal["orders"] >= 10
    assert rehearsal["pod"] not in (gate.pod, gate.uid())
