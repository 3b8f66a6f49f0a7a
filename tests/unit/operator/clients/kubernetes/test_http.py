"""The transport: reads are tried again, writes never, and every failure has its type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from tradepulse_operator.clients.kubernetes import http as kube_http
from tradepulse_operator.clients.kubernetes.errors import (
    Conflict,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
)
from tradepulse_operator.clients.kubernetes.http import Call, Transport

READ = Call("get", "Pod", "GET", "/x", idempotent=True)
WRITE = Call("apply", "Pod", "PATCH", "/x", body={})
Handler = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_http, "wait_exponential_jitter", lambda **_: lambda _state: 0)


def transport(handler: Handler, meter: kube_http.Meter | None = None) -> Transport:
    http = httpx2.AsyncClient(
        transport=httpx2.MockTransport(handler), base_url="https://api.example.test"
    )
    return Transport(http, timeout=0.2, meter=meter)


def answers(*codes: int) -> tuple[Handler, list[int]]:
    """A server that gives these answers one after another, and what it has given."""
    given: list[int] = []

    def handler(_: httpx2.Request) -> httpx2.Response:
        given.append(codes[len(given)])
        return httpx2.Response(given[-1], json={"reason": "Because", "message": "why"})

    return handler, given


async def test_a_read_is_tried_until_it_is_answered() -> None:
    handler, given = answers(503, 429, 200)
    assert (await transport(handler).json(READ))["reason"] == "Because"
    assert given == [503, 429, 200]


async def test_a_read_gives_up_after_three_attempts() -> None:
    handler, given = answers(500, 500, 500)
    with pytest.raises(Unavailable) as error:
        await transport(handler).json(READ)
    assert (error.value.code, len(given)) == (500, 3)


async def test_a_write_is_sent_once() -> None:
    handler, given = answers(503)
    with pytest.raises(Unavailable):
        await transport(handler).json(WRITE)
    assert given == [503]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (404, NotFound),
        (409, Conflict),
        (400, Invalid),
        (422, Invalid),
        (403, KubeError),
        (429, Unavailable),
        (504, Unavailable),
    ],
)
async def test_each_status_has_its_type(code: int, error: type[KubeError]) -> None:
    handler, _ = answers(code)
    with pytest.raises(error) as caught:
        await transport(handler).json(WRITE)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.reason, caught.value.message) == (
        code,
        "Because",
        "why",
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"cut'])
async def test_an_answer_that_is_no_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unavailable):
        await transport(lambda _: httpx2.Response(200, content=body)).json(WRITE)


async def test_a_lost_connection_is_typed_and_counted() -> None:
    seen: list[tuple[str, int]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with pytest.raises(Unavailable):
        await transport(handler, lambda call, code: seen.append((call.verb, code))).json(WRITE)
    assert seen == [("apply", 0)]


async def test_a_server_that_hangs_is_left_at_the_deadline() -> None:
    async def never(_: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(60)
        return httpx2.Response(200)

    http = httpx2.AsyncClient(
        transport=httpx2.MockTransport(never), base_url="https://api.example.test"
    )
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await Transport(http, timeout=0.05).json(WRITE)


async def test_the_fault_hook_sees_both_sides_of_a_write() -> None:
    stages: list[str] = []

    async def fault(stage: str, call: Call) -> None:
        stages.append(f"{stage} {call.verb}")

    handler, _ = answers(200)
    http = httpx2.AsyncClient(
        transport=httpx2.MockTransport(handler), base_url="https://api.example.test"
    )
    await Transport(http, fault=fault).json(WRITE)
    assert stages == ["before apply", "after apply"]
