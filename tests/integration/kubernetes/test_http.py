"""The transport: reads are tried again, writes never, and every failure has its type."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from tests.support.operator.loopback import (
    ApiServer,
    Handler,
    accepts,
    answers,
    api_server,
    connected,
    kubeconfig,
)
from tradepulse_operator.clients.kubernetes import http as kube_http
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import (
    Conflict,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
)
from tradepulse_operator.clients.kubernetes.http import Call, Transport
from tradepulse_operator.clients.kubernetes.token import Issued, Token

READ = Call("get", "Pod", "GET", "/x", idempotent=True)
WRITE = Call("apply", "Pod", "PATCH", "/x", body={})
#: Seconds; a test that waits longer is one that found no deadline.
PATIENCE = 5.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_http, "_PAUSES", (0.0, 0.0))


@asynccontextmanager
async def transport(
    handler: Handler, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[tuple[Transport, ApiServer]]:
    async with (
        api_server(handler) as server,
        connected(monkeypatch, kubeconfig(folder, server.url)) as connection,
    ):
        yield Transport(connection, **options), server


def always(body: bytes, **options: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, **options)

    return handler


async def hangs(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_read_is_tried_until_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(answers(503, 429, 200), tmp_path, monkeypatch) as (it, server):
        assert (await it.json(READ))["reason"] == "Because"
        assert len(server.requests) == 3


async def test_a_read_gives_up_after_three_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(answers(500, 500, 500), tmp_path, monkeypatch) as (it, server):
        with pytest.raises(Unavailable) as error:
            await it.json(READ)
        assert (error.value.code, len(server.requests)) == (500, 3)


async def test_a_write_is_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("PATCH", "PUT", "POST", "DELETE"):
        async with transport(answers(503), tmp_path, monkeypatch) as (it, server):
            with pytest.raises(Unavailable):
                await it.json(Call("write", "Pod", method, "/x", body={}))
            assert [each.method for each in server.requests] == [method]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Invalid),
        (401, KubeError),
        (403, KubeError),
        (404, NotFound),
        (409, Conflict),
        (410, KubeError),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (504, Unavailable),
    ],
)
async def test_each_status_has_its_type(
    code: int, error: type[KubeError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(answers(code), tmp_path, monkeypatch) as (it, _):
        with pytest.raises(error) as caught:
            await it.json(WRITE)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.reason, caught.value.message) == (
        code,
        "Because",
        "why",
    )


async def test_an_error_without_a_status_object_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = always(b"upstream is \xff down", status=502)
    async with transport(handler, tmp_path, monkeypatch) as (it, _):
        with pytest.raises(Unavailable, match="upstream is"):
            await it.json(WRITE)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"cut'])
async def test_an_answer_that_is_no_object_is_no_answer(
    body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(always(body), tmp_path, monkeypatch) as (it, _):
        with pytest.raises(Unavailable):
            await it.json(WRITE)


async def test_a_lost_connection_is_typed_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    async def aborts(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    def meter(call: Call, code: int) -> None:
        seen.append((call.verb, code))

    async with transport(aborts, tmp_path, monkeypatch, meter=meter) as (it, server):
        with pytest.raises(Unavailable):
            await it.json(WRITE)
        assert len(server.requests) == 1
    assert seen == [("apply", 0)]


async def test_every_answer_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    async with transport(
        answers(503, 404), tmp_path, monkeypatch, meter=lambda _, code: seen.append(code)
    ) as (it, _):
        with pytest.raises(NotFound):
            await it.json(READ)
    assert seen == [503, 404]


async def test_a_refused_connection_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(answers(), tmp_path, monkeypatch) as (_, server):
        pass
    async with connected(monkeypatch, kubeconfig(tmp_path, server.url)) as connection:
        with pytest.raises(Unavailable):
            await Transport(connection).json(WRITE)


async def test_a_server_that_hangs_is_left_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        transport(hangs, tmp_path, monkeypatch, timeout=0.1) as (
            it,
            _,
        ),
    ):
        with pytest.raises(Unavailable, match=r"not within 0\.1 s"):
            await it.json(WRITE)


async def test_an_answer_that_stops_halfway_is_left_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b'{"kind":')
        return await hangs(request)

    async with (
        asyncio.timeout(PATIENCE),
        transport(half, tmp_path, monkeypatch, timeout=0.1) as (
            it,
            _,
        ),
    ):
        with pytest.raises(Unavailable):
            await it.json(WRITE)


async def test_reading_a_token_is_part_of_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> Issued:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        asyncio.timeout(PATIENCE),
        api_server(answers(401)) as server,
        connected(monkeypatch, kubeconfig(tmp_path, server.url)) as connection,
    ):
        it = Transport(replace(connection, token=Token(never)), timeout=0.1)
        with pytest.raises(Unavailable, match=r"not within 0\.1 s"):
            await it.json(WRITE)


async def test_an_answer_without_end_is_refused_and_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = always(b"x" * 200_000)
    async with transport(handler, tmp_path, monkeypatch, largest=100_000) as (it, server):
        with pytest.raises(KubeError, match="more than 100000 bytes") as caught:
            await it.json(READ)
        assert (caught.value.reason, len(server.requests)) == ("TooLarge", 1)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_nothing_follows_a_redirect(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    handler = always(b"", status=code, headers={"Location": "/elsewhere"})
    async with transport(
        handler, tmp_path, monkeypatch, meter=lambda _, code: seen.append(code)
    ) as (it, server):
        with pytest.raises(KubeError, match="redirected") as caught:
            await it.json(Call("status", "Pod", "PUT", "/x", body={}))
        assert [each.target for each in server.requests] == ["/x"]
    assert (caught.value.code, seen) == (code, [code])


async def test_proxies_of_the_environment_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with transport(answers(200), tmp_path, monkeypatch) as (it, server):
        await it.json(WRITE)
        assert [each.target for each in server.requests] == ["/x"]


async def test_a_proxy_of_the_kubeconfig_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api_server(answers(200)) as proxy:
        through = {"proxy-url": proxy.url}
        path = kubeconfig(tmp_path, "http://api.example.test", cluster=through)
        async with connected(monkeypatch, path) as connection:
            await Transport(connection).json(WRITE)
        assert [each.target for each in proxy.requests] == ["http://api.example.test/x"]


async def test_the_fault_hook_sees_both_sides_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []

    async def fault(stage: str, call: Call) -> None:
        stages.append(f"{stage} {call.verb}")

    async with transport(answers(200), tmp_path, monkeypatch, fault=fault) as (it, _):
        await it.json(WRITE)
    assert stages == ["before apply", "after apply"]


async def test_a_request_is_on_the_wire_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body: dict[str, Any] = {"spec": {"unknown": {"none": None, "empty": [], "text": "ü"}}}
    params = {"labelSelector": "a in (b, c),!d", "continue": "x+/=&y", "fieldSelector": "e=f g"}
    call = Call("apply", "Pod", "PATCH", "/a/b", params, body, "application/apply-patch+yaml")
    async with transport(answers(200), tmp_path, monkeypatch) as (it, server):
        await it.json(call)
        (sent,) = server.requests
    where, _, query = sent.target.partition("?")
    assert where == "/a/b"
    assert dict(parse_qsl(query)) == params
    assert json.loads(sent.body) == body
    assert sent.token == "Bearer t"
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["User-Agent"] == "tradepulse-operator"


async def test_a_delete_carries_the_uid_that_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(answers(200), tmp_path, monkeypatch) as (it, server):
        await Kube(it).delete(kinds.ref(kinds.POD, "ns", "a-0"), "u-1")
        (sent,) = server.requests
    assert (sent.method, sent.target) == ("DELETE", "/api/v1/namespaces/ns/pods/a-0")
    assert json.loads(sent.body)["preconditions"] == {"uid": "u-1"}


async def test_a_refusal_for_the_only_token_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(accepts("another"), tmp_path, monkeypatch) as (it, server):
        with pytest.raises(KubeError) as caught:
            await it.json(READ)
        assert (caught.value.code, len(server.requests)) == (401, 1)


class Closing:
    """A server that keeps a connection after its first answer, and closes it on the next request:
    what a client sees of one that restarts, or of a balancer that gave the connection up."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        await self._request(reader)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = [line for line in head.splitlines() if line.startswith("content-length:")]
        if length:
            await reader.readexactly(int(length[0].split(":")[1]))
        self.methods.append(head.split()[0])


@asynccontextmanager
async def closing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Transport, Closing]]:
    it = Closing()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        connected(monkeypatch, kubeconfig(folder, f"http://127.0.0.1:{port}")) as connection,
    ):
        yield Transport(connection, timeout=PATIENCE), it


async def test_a_read_outlives_a_connection_that_the_server_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with closing(tmp_path, monkeypatch) as (it, server):
        assert await it.json(READ) == {}
        assert await it.json(READ) == {}
        assert server.methods == ["get", "get", "get"]


async def test_a_patch_is_not_sent_again_when_the_server_closed_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with closing(tmp_path, monkeypatch) as (it, server):
        assert await it.json(READ) == {}
        with pytest.raises(Unavailable):
            await it.json(WRITE)
        assert server.methods == ["get", "patch"]
