"""The order to halt or to kill reaches the pod whatever its process does when it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.operator.engine_world import POD, EngineWorld, cutover, pod, runner
from tradepulse_operator.clients.alertmanager import Alertmanager
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.clients.runner_status import Process
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.apply import Applier
from tradepulse_operator.manager.events import Emitter
from tradepulse_operator.manager.loop import Loop
from tradepulse_operator.manager.metrics import Metrics
from tradepulse_operator.manager.observe import Observer
from tradepulse_operator.manager.reconcilers import reconcilers

KEY = keys.runner("ns", "btc")
KILL, HALT = "tradepulse.io/kill-switch", "tradepulse.io/trading"
ACTIVE = {"id": "bbbb", "image": "r:2", "configMap": "btc-c2", "configHash": "c2"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def world_of(**spec: object) -> EngineWorld:
    """A runner whose active release is that of its pod."""
    world = EngineWorld()
    live = runner(**spec)
    live["metadata"] |= {"finalizers": ["tradepulse.io/clean-stop"]}
    live["status"] = {"activeRelease": ACTIVE, "cutover": "btc-1"}
    world.kube.put(live)
    item = pod()
    item["status"]["podIP"] = "127.0.0.1"
    world.kube.put(item)
    return world


@asynccontextmanager
async def looking(world: EngineWorld, handler: Handler) -> AsyncIterator[Loop]:
    """The loop with the reconcilers of this operator and a process that answers so."""
    app = web.Application()
    app.router.add_get("/status", handler)
    kube = cast(Kube, world.kube)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        observer = Observer(
            kube,
            Process(session, port=server.port, timeout=0.5),
            cast(Prometheus, world.prometheus),
            world.clock,
            alertmanager=cast(Alertmanager, world.alertmanager),
            served=world.served,
            needs_recording=lambda _: False,
        )
        yield Loop(
            observer,
            Applier(kube, world.reporter, world.served),
            Emitter(kube, world.clock, "test"),
            reconcilers=reconcilers(),
            metrics=Metrics(),
            may_act=lambda: True,
        )


def orders(world: EngineWorld) -> dict[str, str]:
    return dict(world.kube.objects[POD]["metadata"].get("annotations") or {})


async def test_the_kill_switch_is_ordered_before_the_process_is_asked() -> None:
    world = world_of(killSwitch={"engaged": True, "reason": "ada: it loses money"})
    asked: list[dict[str, str]] = []

    async def status(_: web.Request) -> web.StreamResponse:
        asked.append(orders(world))
        raise web.HTTPInternalServerError

    async with looking(world, status) as loop:
        assert await loop.reconcile(KEY) == 0
        assert asked == []
        assert orders(world)[KILL] == "spec: ada: it loses money"
        await loop.reconcile(KEY)
    assert len(asked) == 1


async def test_a_halt_is_ordered_before_the_process_is_asked() -> None:
    world = world_of()
    rollback = {"step": "Halting", "stepAt": "2027-01-15T08:16:00Z", "reason": "x"}
    world.kube.put(
        cutover("RollingBack", rollback={**rollback, "startedAt": "2027-01-15T08:16:00Z"})
    )
    asked: list[str] = []

    async def status(_: web.Request) -> web.StreamResponse:
        asked.append("")
        raise web.HTTPInternalServerError

    async with looking(world, status) as loop:
        assert await loop.reconcile(KEY) == 0
    assert asked == []
    assert orders(world)[HALT].startswith("halt ")


@pytest.mark.parametrize(
    "body",
    [
        b'{"state":"TRADING"}',
        b'{"state":"TRADING","open_orders":1e999}',
        b'{"state":"TRADING","writer_epoch":Infinity}',
        b'{"state":"TRADING","bus":{"at":"0001-01-01T00:00:00+14:00"}}',
        b'{"state":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"state":"TRADING","kill_switch":{"engaged":true,"reason":"\\ud800"}}',
        b"",
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_no_answer_ends_a_look(body: bytes) -> None:
    world = world_of(killSwitch={"engaged": True, "reason": "stop"})

    async def status(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with looking(world, status) as loop:
        for _ in range(6):
            await loop.reconcile(KEY)
            await loop.reconcile(keys.cutover("ns", "btc-1"))
    assert orders(world)[KILL] == "spec: stop"
    assert len(world.kube.writes) > 3
