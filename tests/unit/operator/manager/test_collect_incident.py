"""Reports never hold up a rollback: parts may be missing, and everything has one deadline."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any, cast

import pytest

from tests.support.fakes.kube import failing
from tests.support.operator.engine_world import CUTOVER, POD, EngineWorld, cutover
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import Unavailable
from tradepulse_operator.common.objects import Ref
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.observed.views import ProcessView
from tradepulse_operator.controllers.step import FileReport
from tradepulse_operator.incident.bundle import build
from tradepulse_operator.incident.evidence import Evidence
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.collect_incident import Reporter
from tradepulse_operator.manager.observe import Observer

REPORT = kinds.ref(kinds.CONFIG_MAP, "ns", "btc-1-incident")


def data(world: EngineWorld) -> dict[str, str]:
    return dict(world.kube.objects[REPORT]["data"])


async def test_everything_is_collected_and_the_stage_is_seen() -> None:
    world = EngineWorld()
    await world.reporter.file(FileReport(CUTOVER, final=False))
    found = data(world)
    assert found["logs-runner.txt"] == "log of runner"
    assert found["logs-previous.txt"] == "log of runner"
    assert "-a: 1\n+a: 2\n" in found["config.diff"]
    assert "up == 1" in json.loads(found["queries.json"])["control"]
    assert "TRADING" in found["report.md"]
    seen = await world.observer.cutover(keys.cutover("ns", "btc-1"))
    assert seen
    assert seen.report == "evidence"
    world.kube.put(cutover("RolledBack"))
    await world.reporter.file(FileReport(CUTOVER, final=True))
    seen = await world.observer.cutover(keys.cutover("ns", "btc-1"))
    assert seen
    assert seen.report == "final"
    assert data(world)["logs-runner.txt"] == found["logs-runner.txt"]


async def test_the_baseline_is_asked_for_once_more_while_its_release_can_be_compared() -> None:
    world = EngineWorld()
    baseline = {"at": "2027-01-15T08:00:00Z", "service": {"window": "10m"}}
    world.kube.put(cutover("RollingBack", baseline=baseline))
    await world.reporter.file(FileReport(CUTOVER, final=False))
    found = json.loads(data(world)["baseline-samples.json"])
    assert found["until"] == instant("2027-01-15T08:00:00Z")
    assert {asked.release for asked in world.prometheus.asked} == {"aaaa", "bbbb"}
    asked = len(world.prometheus.asked)
    world.kube.put(cutover("RolledBack", baseline=baseline))
    await world.reporter.file(FileReport(CUTOVER, final=True))
    assert len(world.prometheus.asked) == asked + 1
    assert "baseline-samples.json" in data(world)


async def test_a_rollback_that_is_not_verified_is_reported_with_its_releases_samples() -> None:
    world = EngineWorld()
    at = "2027-01-15T08:16:00Z"
    rollback = {"step": "Starting", "stepAt": at, "startedAt": at, "reason": "ErrorRateAboveLimit"}
    world.kube.put(cutover("Halted", rollback=rollback))
    await world.reporter.file(FileReport(CUTOVER, final=True))
    assert {asked.release for asked in world.prometheus.asked} == {"aaaa"}


async def test_an_empty_log_is_said_to_be() -> None:
    world = EngineWorld()
    world.kube.log = ""
    await world.reporter.file(FileReport(CUTOVER, final=False))
    assert "| logs-runner.txt | not collected: it is empty |" in data(world)["report.md"]


async def test_parts_that_fail_are_named_and_the_rest_is_filed() -> None:
    world = EngineWorld()
    world.kube.fault = failing(Unavailable(500, "Broken", "kubelet"), "logs", "events")
    await world.reporter.file(FileReport(CUTOVER, final=False))
    report = data(world)["report.md"]
    assert "| logs-runner.txt | not collected: Broken: kubelet |" in report
    assert "| events.json | not collected: Broken: kubelet |" in report
    assert "samples.json" in data(world)


async def test_what_hangs_is_left_at_the_deadline() -> None:
    world = EngineWorld()

    def fault(verb: str, ref: Ref | None) -> Any:
        return asyncio.sleep(60) if verb in ("logs", "events") else None

    world.kube.fault = fault
    began = time.monotonic()
    await world.reporter.file(FileReport(CUTOVER, final=False))
    assert time.monotonic() - began < 2
    assert "took longer than the 0.2 s" in data(world)["report.md"]


async def test_a_bug_in_one_part_spoils_only_that_part() -> None:
    world = EngineWorld()

    async def broken(_: object) -> object:
        raise KeyError("bug")

    world.prometheus.record = broken  # type: ignore[method-assign,assignment]
    await world.reporter.file(FileReport(CUTOVER, final=False))
    assert "| samples.json | not collected: KeyError |" in data(world)["report.md"]


async def test_no_pod_and_no_runner_is_still_a_report() -> None:
    world = EngineWorld()
    del world.kube.objects[POD]
    del world.kube.objects[kinds.ref(kinds.RUNNER, "ns", "btc")]
    await world.reporter.file(FileReport(CUTOVER, final=True))
    assert "there is no pod" in data(world)["report.md"]


async def test_a_cutover_that_is_gone_needs_no_report() -> None:
    world = EngineWorld()
    del world.kube.objects[CUTOVER]
    await world.reporter.file(FileReport(CUTOVER, final=True))
    assert REPORT not in world.kube.objects


async def test_a_report_that_cannot_be_applied_fails_the_step() -> None:
    world = EngineWorld()
    world.kube.fault = failing(Unavailable(503, "", "down"), "apply")
    with pytest.raises(Unavailable):
        await world.reporter.file(FileReport(CUTOVER, final=False))


HOSTILE_LOGS = {
    "repeated names": "a-" * 131_072,
    "lone surrogates": "\ud800" * 1000 + "the end",
    "zeros": "\x00" * 100_000,
    "one line": "secret=" + "x" * 262_000,
    "brackets": "[" * 262_000,
    "keys that don't end": "-----BEGIN A-----\n" * 14_000,
}


@pytest.mark.parametrize("log", HOSTILE_LOGS.values(), ids=HOSTILE_LOGS.keys())
async def test_no_log_keeps_the_report_from_being_filed(log: str) -> None:
    world = EngineWorld()
    world.kube.log = log
    world.process.view = ProcessView("\ud800", kill_switch=True, kill_switch_reason="\ud800\x00")
    started = time.process_time()
    await world.reporter.file(FileReport(CUTOVER, final=False))
    assert time.process_time() - started < 3
    found = data(world)
    assert json.loads(found["manifest.json"])["head"]
    assert {"report.md", "cutover.json", "samples.json", "config.diff"} <= found.keys()


async def test_the_loop_goes_on_while_a_report_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()

    def slow(*about: Any) -> Any:
        assert beaten.wait(10), "the loop stood still"
        return build(*about)

    monkeypatch.setattr("tradepulse_operator.manager.collect_incident.build", slow)
    world = EngineWorld()
    filing = asyncio.create_task(world.reporter.file(FileReport(CUTOVER, final=False)))
    while not filing.done():
        asyncio.get_running_loop().call_later(0.01, beaten.set)
        await asyncio.wait({filing}, timeout=0.02)
    await filing
    assert "report.md" in data(world)


@pytest.mark.parametrize("fault", ["slow", "broken"])
async def test_what_a_release_chose_is_left_out_where_no_report_can_be_made_with_it(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    over = threading.Event()

    def hampered(evidence: Evidence, *about: Any) -> Any:
        if evidence.logs and fault == "slow":
            over.wait(10)
        if evidence.logs and fault == "broken":
            raise RecursionError
        return build(evidence, *about)

    monkeypatch.setattr("tradepulse_operator.manager.collect_incident.build", hampered)
    world = EngineWorld()
    reporter = Reporter(
        cast(Kube, world.kube), world.observer, world.clock, budget=0.2, building=0.1
    )
    await reporter.file(FileReport(CUTOVER, final=False))
    over.set()
    found = data(world)
    assert "logs-runner.txt" not in found
    assert {"report.md", "cutover.json", "config.diff"} <= found.keys()
    assert "logs-runner.txt | not collected: the report" in found["report.md"]


def premade(world: EngineWorld, *, immutable: bool = False) -> None:
    """What somebody who may create ConfigMaps puts there first."""
    meta = {
        "name": "btc-1-incident",
        "namespace": "ns",
        "annotations": {
            "tradepulse.io/report-stage": "final",
            "tradepulse.io/cutover-uid": world.kube.objects[CUTOVER]["metadata"]["uid"],
            "tradepulse.io/report-head": "",
        },
    }
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "immutable": immutable}
    world.kube.put({**found, "data": {"report.md": "nothing happened", "more": "x"}})


async def seen(world: EngineWorld, observer: Observer | None = None) -> tuple[str, str]:
    found = await (observer or world.observer).cutover(keys.cutover("ns", "btc-1"))
    assert found
    return found.report, found.report_head


async def test_a_report_that_the_operator_did_not_file_is_none() -> None:
    world = EngineWorld()
    premade(world)
    assert await seen(world) == ("", "")
    await world.reporter.file(FileReport(CUTOVER, final=False))
    assert "more" not in data(world)
    assert data(world)["report.md"] != "nothing happened"
    stage, head = await seen(world)
    assert (stage, head) == ("evidence", json.loads(data(world)["manifest.json"])["head"])


async def test_a_report_that_was_filed_is_known_again_by_what_the_status_tells() -> None:
    world = EngineWorld()
    await world.reporter.file(FileReport(CUTOVER, final=False))
    stage, head = await seen(world)
    again = EngineWorld().observer
    again._kube = world.observer._kube
    assert await seen(world, again) == ("", "")  # another process, before the status was written
    record = {"configMap": "btc-1-incident", "capturedAt": "2027-01-15T08:16:00Z"}
    world.kube.put(cutover("RollingBack", report={**record, "head": head, "stage": stage}))
    assert await seen(world, again) == ("evidence", head)
    # The stage is the operator's word, too, not the annotation's.
    world.kube.objects[REPORT]["metadata"]["annotations"]["tradepulse.io/report-stage"] = "final"
    assert await seen(world, again) == ("evidence", head)
    # One that an operator of before filed is known by its annotations.
    world.kube.put(cutover("RollingBack", report=record))
    assert (await seen(world, again))[0] == "final"
