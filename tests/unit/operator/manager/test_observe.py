"""What the reconcilers see: live, whole, and nothing that isn't theirs."""

from __future__ import annotations

import pytest

from tests.support.fakes.kube import failing
from tests.support.operator.engine_world import EngineWorld, config_map, cutover, pod, runner
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.errors import Unavailable
from tradepulse_operator.common.time import instant
from tradepulse_operator.manager import key as keys

RUNNER, CUTOVER = keys.runner("ns", "btc"), keys.cutover("ns", "btc-1")


async def test_a_runner_with_everything_around_it() -> None:
    world = EngineWorld()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "btc", "namespace": "ns"},
    }
    world.kube.put(service)
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert [item.metadata.name for item in seen.cutovers] == ["btc-1"]
    assert kinds.ref(kinds.SERVICE, "ns", "btc") in seen.children
    assert kinds.ref(kinds.STATEFUL_SET, "ns", "btc") not in seen.children
    assert kinds.ref(kinds.CONFIG_MAP, "ns", "btc-c1") in seen.children
    assert seen.pod
    assert seen.process is None
    assert (await world.observer.with_process_status(seen)).process
    assert seen.unserved == frozenset()
    assert seen.user_config is None


async def test_a_kind_that_is_not_served_is_said_and_not_read() -> None:
    world = EngineWorld()
    world.kube.unserved.add(kinds.SERVICE_MONITOR)
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert seen.unserved == {"ServiceMonitor"}
    world.kube.unserved.clear()
    world.clock.at += 61
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert seen.unserved == frozenset()


async def test_the_users_configuration_is_read_where_the_release_names_it() -> None:
    world = EngineWorld()
    world.kube.put(runner(release={"image": "r:1", "config": "mine"}))
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert seen.user_config is None
    world.kube.put(config_map("mine", "loop: {}\n"))
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert seen.user_config == "loop: {}\n"


async def test_what_is_gone_is_none() -> None:
    world = EngineWorld()
    assert await world.observer.runner(keys.runner("ns", "no")) is None
    assert await world.observer.cutover(keys.cutover("ns", "no")) is None


async def test_a_namesake_of_the_pod_is_not_the_runners() -> None:
    world = EngineWorld()
    stranger = pod()
    stranger["metadata"]["labels"] = {}
    world.kube.put(stranger)
    seen = await world.observer.runner(RUNNER)
    assert seen
    assert (seen.pod, seen.address) == (None, "")
    assert (await world.observer.with_process_status(seen)).process is None


async def test_a_read_that_fails_fails_the_look() -> None:
    world = EngineWorld()
    world.kube.fault = failing(Unavailable(503, "", "down"), "list")
    with pytest.raises(Unavailable):
        await world.observer.runner(RUNNER)


async def test_a_bake_is_judged_on_the_target_since_its_checkpoint() -> None:
    world = EngineWorld()
    bake = {"startedAt": "2027-01-15T08:16:00Z", "evaluatedUntil": "2027-01-15T08:16:30Z"}
    world.kube.put(cutover("Baking", bake=bake))
    seen = await world.observer.cutover(CUTOVER)
    assert seen
    assert seen.recording
    (asked,) = world.prometheus.asked
    assert (asked.endpoint.url, asked.release) == ("http://prometheus:9090", "bbbb")
    assert asked.until == seen.now == world.clock.now()
    # window 60 s, metricGap 2 · 15 s + 1 s, interval 15 s
    assert asked.since == instant("2027-01-15T08:16:30Z") - 18 * 15


@pytest.mark.parametrize("phase", ["Preflight", "Verifying"])
async def test_the_source_is_watched_before_and_after(phase: str) -> None:
    world = EngineWorld()
    world.kube.put(cutover(phase))
    await world.observer.cutover(CUTOVER)
    assert [asked.release for asked in world.prometheus.asked] == ["aaaa"]


async def test_phases_that_judge_nothing_ask_nothing() -> None:
    world = EngineWorld(needs=lambda _: False)
    seen = await world.observer.cutover(CUTOVER)
    assert seen
    assert seen.recording is None
    assert world.prometheus.asked == []


async def test_no_prometheus_is_an_outage_with_a_remedy() -> None:
    world = EngineWorld()
    bare = cutover()
    bare["spec"]["guardrails"] = {}
    world.kube.put(bare)
    seen = await world.observer.cutover(CUTOVER)
    assert seen
    assert seen.recording
    assert "set spec.guardrails.prometheus" in (seen.recording.outage or "")


async def test_a_cutover_of_a_runner_that_is_gone_is_seen_without_it() -> None:
    world = EngineWorld()
    del world.kube.objects[kinds.ref(kinds.RUNNER, "ns", "btc")]
    seen = await world.observer.cutover(CUTOVER)
    assert seen
    assert (seen.runner, seen.recording, seen.report) == (None, None, "")
