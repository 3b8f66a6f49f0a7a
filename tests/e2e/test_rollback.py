"""A bad release rolls itself back: by error rate, by p95 latency, by a gap in its metrics."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.e2e import scenario
from tests.support.e2e.client import Cluster, Manifest, is_true, wait_for
from tests.support.e2e.watching import PodWatch
from tradepulse_operator.common.time import instant
from tradepulse_operator.incident.replay import replay


def runner_of(fault: str) -> str:
    return "bad-" + fault.replace(" ", "-")


class Rolled:
    """What a rollback left behind."""

    def __init__(self, cluster: Cluster, namespace: str, fault: str) -> None:
        self.cluster, self.namespace, self.fault = cluster, namespace, fault
        self.runner = runner_of(fault)
        self.before = scenario.start(cluster, self.runner, namespace)
        with PodWatch(cluster, namespace, self.runner) as self.pods:
            name = scenario.release(cluster, self.runner, namespace, scenario.BAD[fault])
            self.cutover = scenario.reaches(cluster, name, namespace, "RolledBack")

    @property
    def status(self) -> Manifest:
        return dict(self.cutover["status"])

    def files(self, folder: str) -> list[str]:
        """Names in a folder of the runner's state volume."""
        code = f"import json, os; print(json.dumps(os.listdir({folder!r})))"
        return list(json.loads(self.cluster.inside(f"{self.runner}-0", self.namespace, code)))

    def report(self) -> Manifest:
        """The final report."""
        return scenario.final_report(self.cluster, self.cutover)


@pytest.fixture(scope="module", params=list(scenario.BAD))
def rolled(cluster: Cluster, namespace: str, request: pytest.FixtureRequest) -> Rolled:
    return Rolled(cluster, namespace, request.param)


def test_the_right_guardrail_decided(rolled: Rolled) -> None:
    verdict = rolled.status["verdict"]
    assert verdict["verdict"] == ("gap" if rolled.fault == "metric gap" else "breach")
    assert verdict["guardrail"] == scenario.GUARDRAIL[rolled.fault]
    assert verdict["value"] > verdict["limit"]


def test_the_phases_led_there_and_back(rolled: Rolled) -> None:
    phases = [record["phase"] for record in rolled.status["phases"]]
    forth = "Pending Preflight Halting BackingUp Switching Baking"
    assert phases == f"{forth} RollingBack Verifying RolledBack".split()


def test_the_previous_tagged_image_trades_again(rolled: Rolled) -> None:
    runner = scenario.trading(rolled.cluster, rolled.runner, rolled.namespace)
    before, after = rolled.before["status"], runner["status"]
    assert after["activeRelease"]["image"] == scenario.GOOD
    assert after["activeRelease"]["imageId"] == before["activeRelease"]["imageId"]
    assert after["activeRelease"]["configHash"] == before["activeRelease"]["configHash"]
    rejected = after["rejectedReleases"][0]
    assert rejected["release"]["image"] == scenario.BAD[rolled.fault]
    assert rejected["cutover"] == rolled.cutover["metadata"]["name"]
    assert is_true(runner, "ReleaseDrift")


def test_it_is_not_tried_again(rolled: Rolled) -> None:
    scenario.trading(rolled.cluster, rolled.runner, rolled.namespace)
    assert len(rolled.cluster.cutovers(rolled.namespace, rolled.runner)) == 1


def test_never_two_writers(rolled: Rolled) -> None:
    assert rolled.pods.seen >= 3
    assert rolled.pods.most_at_once == 1


def test_the_state_was_restored_from_the_backup(rolled: Rolled) -> None:
    listed = rolled.files("/var/lib/tradepulse/backups")
    uid = rolled.cutover["metadata"]["uid"]
    assert {uid, f"{uid}-replaced"} <= set(listed)


def test_positions_are_the_venues(rolled: Rolled) -> None:
    """After the restore the runner took the venue's truth, not the snapshot's."""
    text = rolled.cluster.kubectl(
        "-n", rolled.namespace, "exec", f"{rolled.runner}-0", "-c", "runner", "--",
        "tradepulse-runner", "state", "verify", "--state-dir", "/var/lib/tradepulse",
    )  # fmt: skip
    assert "error" not in text.lower()


def test_the_report_holds_the_evidence(rolled: Rolled) -> None:
    data = rolled.report()["data"]
    assert rolled.fault.split()[0] in data["report.md"].lower() or "heartbeat" in data["report.md"]
    assert scenario.BAD[rolled.fault] in data["report.md"]
    assert scenario.GOOD in data["report.md"]
    assert "<svg" in data["chart.svg"]
    assert "baseline-samples.json" in data
    samples = json.loads(data["samples.json"])
    assert samples["runner"], "the samples that the verdict rests on"
    logs = [name for name in data if re.match(r"logs", name)]
    assert logs
    assert sum(len(text) for text in data.values()) < 1_000_000


def test_the_verdict_follows_from_the_report_alone(rolled: Rolled) -> None:
    found = replay(rolled.report()["data"])
    assert found.agrees, found
    assert found.chain == ""


def test_the_evidence_was_filed_within_ten_seconds_of_the_verdict(rolled: Rolled) -> None:
    decided = next(r["at"] for r in rolled.status["phases"] if r["phase"] == "RollingBack")
    took = instant(rolled.status["report"]["capturedAt"]) - instant(decided)
    print(f"\n{rolled.fault}: filed {took:.1f} s after the verdict")
    assert 0 < took <= 10


def test_the_runner_was_measured_before_it_was_touched(rolled: Rolled) -> None:
    baseline = rolled.status["baseline"]
    assert baseline["service"]["requests"] > 0
    held = {each["symbol"] for each in baseline["book"]["positions"]}
    assert held <= {"BTC-USD"}  # of a runner so young there is no snapshot yet, but its own word
    assert instant(baseline["at"]) < instant(rolled.status["phases"][2]["at"])
    assert replay(rolled.report()["data"]).baseline == ""


def test_the_restored_backup_is_the_recorded_one(rolled: Rolled) -> None:
    backup = rolled.status["backup"]
    path = f"/var/lib/tradepulse/backups/{backup['id']}/restored.json"
    code = f"print(open({path!r}).read())"
    said = json.loads(rolled.cluster.inside(f"{rolled.runner}-0", rolled.namespace, code))
    assert said["sha256"] == backup["sha256"]


def test_the_report_is_on_the_state_volume(rolled: Rolled) -> None:
    path = rolled.status["report"]["path"]
    assert "report.md" in rolled.files(path)
    if rolled.fault == "error rate":  # what the kubelet brings later; waited for once
        rolled.report()
        wait_for(
            "the outcome to be on the state volume",
            lambda: "final-cutover.json" in rolled.files(path),
            seconds=150,
            every=3,
        )


def test_the_report_outlives_the_cutover(rolled: Rolled) -> None:
    assert not rolled.report()["metadata"].get("ownerReferences")
