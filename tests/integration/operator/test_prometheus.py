"""Prometheus: every way it can fail is an outage, and no answer is ever taken for silence."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tradepulse_operator.clients import control_series
from tradepulse_operator.clients.prometheus import Prometheus
from tradepulse_operator.guard import promql
from tradepulse_operator.guard.promql import Endpoint, SampleQuery
from tradepulse_operator.guard.samples import Recording

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def ask(url: str, **custom: str) -> SampleQuery:
    return SampleQuery(
        Endpoint(url), "trading", "btc", "abc123", since=100.0, until=160.0, custom=custom
    )


@asynccontextmanager
async def port(handler: Handler, **options: Any) -> AsyncIterator[tuple[Prometheus, str]]:
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield Prometheus(session, **options), f"http://{server.host}:{server.port}"


async def record(
    handler: Handler, custom: dict[str, str] | None = None, **options: Any
) -> Recording:
    async with port(handler, **options) as (prometheus, url):
        return await prometheus.record(ask(url, **(custom or {})))


def success(result: list[Any], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


def always(body: Any, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text)

    return handler


async def test_samples_keep_the_times_of_their_scrapes() -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        form = await request.post()
        seen.append({"path": request.path, **{key: str(value) for key, value in form.items()}})
        if request.path == "/api/v1/query":
            metric = {"__name__": "live_loop_heartbeat", "pod": "btc-0"}
            values = [[101.5, "100"], [116.5, "NaN"], [131.5, "+Inf"]]
            return web.json_response(success([{"metric": metric, "values": values}]))
        if form["query"] == promql.CONTROL:
            return web.json_response(
                success(
                    [{"metric": {}, "values": [[110, "109.5"], [120, "109.5"], [130, "124.5"]]}]
                )
            )
        return web.json_response(success([{"metric": {"a": "b"}, "values": [[160, "7"]]}]))

    found = await record(handler, {"fills": 'fills{r="$runner"}'})
    assert found.outage is None
    (heartbeat,) = found.runner
    assert [at for at, _ in heartbeat.points] == [101.5, 116.5, 131.5]
    assert math.isnan(heartbeat.points[1][1])
    assert math.isinf(heartbeat.points[2][1])
    assert found.control[0].labels["__name__"] == "up"
    assert found.control[0].points == ((109.5, 1.0), (124.5, 1.0))
    assert found.custom["fills"][0].points == ((160.0, 7.0),)
    instant = next(item for item in seen if item["path"] == "/api/v1/query")
    assert instant["time"] == "160.000"
    assert instant["query"].endswith("[60s]")
    own = next(item for item in seen if item["query"].startswith("fills"))
    assert own["query"] == 'fills{r="btc"}'


async def test_an_empty_answer_is_not_an_outage() -> None:
    found = await record(always(success([])))
    assert (found.outage, found.runner, found.control) == (None, (), ())


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"status": "error", "error": "too many samples"}, 422, "too many samples"),
        ({"status": "error", "error": "down"}, 503, "503"),
        ("<html>Bad gateway</html>", 502, "malformed"),
        ("", 200, "malformed"),
        ('{"status": "success"', 200, "malformed"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, 200, "vector"),
        (success([], warnings=["store unavailable"]), 200, "store unavailable"),
        (success([{"metric": {}, "values": [[1, "one"]]}]), 200, "malformed"),
        (success([{"metric": {}, "values": [[1]]}]), 200, "malformed"),
        (success([{"values": [[1, "1"]]}]), 200, "malformed"),
        ([], 200, "malformed"),
        ({}, 302, "302"),
    ],
)
async def test_every_faulty_answer_is_an_outage(body: Any, status: int, says: str) -> None:
    found = await record(always(body, status))
    assert found.outage is not None
    assert says in found.outage
    assert (found.runner, found.control, found.custom) == ((), (), {})


async def test_one_failed_query_of_several_is_an_outage() -> None:
    async def handler(request: web.Request) -> web.Response:
        form = await request.post()
        if form["query"] == "mine":
            return web.json_response({"status": "error", "error": "bad query"}, status=400)
        return web.json_response(success([]))

    found = await record(handler, {"own": "mine"})
    assert found.outage is not None
    assert "bad query" in found.outage


async def test_a_slow_server_is_an_outage() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.json_response(success([]))

    found = await record(handler, timeout=0.1)
    assert found.outage is not None
    assert "no answer" in found.outage


async def test_an_answer_without_end_is_an_outage() -> None:
    found = await record(always("x" * 200_000), largest=100_000)
    assert found.outage is not None
    assert "more than 100000 bytes" in found.outage


async def test_a_refused_connection_is_an_outage_that_tells_no_password() -> None:
    async with aiohttp.ClientSession() as session:
        url = "http://user:hunter2@127.0.0.1:9/?token=hunter2"
        found = await Prometheus(session).record(ask(url))
    assert found.outage is not None
    assert "127.0.0.1:9" in found.outage
    assert "hunter2" not in found.outage


def test_values_cannot_leave_their_quotes() -> None:
    question = SampleQuery(
        Endpoint("http://p"), 'n"} or vector(1) #', "r\\", "x\n", since=0, until=1.2
    )
    assert promql.raw(question).endswith(
        r'namespace="n\"} or vector(1) #",'
        r'tradepulse_io_runner="r\\",tradepulse_io_release="x\n"}[2s]'
    )
    assert promql.custom(question, 'a{n="$namespace",s="$runners"}') == (
        r'a{n="n\"} or vector(1) #",s="$runners"}'
    )


@pytest.mark.parametrize("span", [0.5, 60.0, 90_000.0])
@pytest.mark.parametrize("step", [0.1, 1.0, 15.0])
def test_ranges_end_at_the_judged_instant_and_are_bounded(span: float, step: float) -> None:
    question = SampleQuery(Endpoint("http://p"), "n", "r", "x", since=1000.0, until=1000.0 + span)
    start, wide = promql.steps(question, step)
    count = (question.until - start) / wide
    assert count == pytest.approx(round(count), abs=1e-6)
    assert count <= 2001
    assert start >= question.since - 1


class Server:
    """Counts what it is asked; scraped something in each second."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.tenants: list[str] = []
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["query"] != promql.CONTROL:
            return web.json_response(success([]))
        start, end = float(str(form["start"])), float(str(form["end"]))
        self.asked.append((start, end))
        self.tenants.append(request.headers.get("X-Scope-OrgID", ""))
        await self.answers.wait()
        if self.fails:
            return web.Response(status=503)
        values = [[at, str(at - 0.25)] for at in range(int(start), int(end) + 1)]
        return web.json_response(success([{"metric": {}, "values": values}]))


def span(found: Recording) -> tuple[float, float]:
    (series,) = found.control
    return series.points[0][0], series.points[-1][0]


async def test_the_control_series_is_asked_once_for_everyone() -> None:
    server = Server()
    server.answers.clear()
    async with port(server.answer) as (prometheus, url):
        questions = [
            replace(ask(url), runner=f"r{n}", since=100.0 + n / 100, until=160.0 + n / 100)
            for n in range(50)
        ]
        looks = [asyncio.create_task(prometheus.record(each)) for each in questions]
        looks[0].cancel()  # the one that asked may be called off
        while not server.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        server.answers.set()
        found = await asyncio.gather(*looks[1:])
        assert len(server.asked) == 1
        assert {each.outage for each in found} == {None}
        assert {span(each)[1] for each in found} == {159.75}


async def test_an_older_or_a_shorter_answer_does_not_serve() -> None:
    server = Server()
    async with port(server.answer) as (prometheus, url):
        first = ask(url)
        await prometheus.record(first)
        later = await prometheus.record(replace(first, since=110.0, until=161.5))
        assert span(later)[1] == 160.75
        longer = await prometheus.record(replace(first, since=50.0))
        assert span(longer)[0] == 49.75
        assert len(server.asked) == 3


async def test_nothing_is_newer_than_the_look() -> None:
    server = Server()
    async with port(server.answer) as (prometheus, url):
        first = ask(url)
        await prometheus.record(first)
        before = await prometheus.record(replace(first, until=140.0))
        assert span(before)[1] <= 140.0
        assert len(server.asked) == 1


async def test_a_failure_is_nobody_elses_answer() -> None:
    server = Server()
    async with port(server.answer) as (prometheus, url):
        server.fails = True
        assert (await prometheus.record(ask(url))).outage
        server.fails = False
        assert (await prometheus.record(ask(url))).outage is None
        assert len(server.asked) == 2


async def test_one_tenants_scrapes_are_not_anothers_answer() -> None:
    server = Server()
    async with port(server.answer) as (prometheus, url):
        for tenant in ("a", "b", "a"):
            endpoint = Endpoint(url, (("X-Scope-OrgID", tenant),))
            found = await prometheus.record(replace(ask(url), endpoint=endpoint))
            assert found.outage is None
        await prometheus.record(ask(url))
        assert server.tenants == ["a", "b", ""]


async def test_only_the_newest_endpoints_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_series, "REMEMBERED", 2)
    server = Server()
    async with port(server.answer) as (prometheus, url):
        for tenant in ("a", "b", "c", "b", "a"):
            endpoint = Endpoint(url, (("X-Scope-OrgID", tenant),))
            await prometheus.record(replace(ask(url), endpoint=endpoint))
        assert server.tenants == ["a", "b", "c", "a"]


def test_what_may_hold_a_credential_is_in_no_message() -> None:
    assert "hunter2" not in repr(Endpoint("http://p", (("Authorization", "hunter2"),)))
