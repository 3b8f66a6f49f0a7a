"""The last moment before the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tradepulse_runner.errors import OrderRejected
from tradepulse_runner.venues.permitted import permitted


class Server:
    """Answers the first request when it is told to; ``seen`` lists what arrived."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(f"{request.method} {request.path}")
        self.arrived.set()
        await self.go_on.wait()
        return web.Response(text="ok")


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, str]]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_what_waited_for_a_connection_asks_again(
    served: tuple[Server, str], method: str
) -> None:
    """The permit was there when the request was signed, and is gone when a connection is free."""
    server, url = served
    word = ""
    one_connection = aiohttp.TCPConnector(limit=1)
    kind = permitted(lambda: word)
    async with aiohttp.ClientSession(connector=one_connection, request_class=kind) as session:
        first = asyncio.create_task(session.request(method, f"{url}/first"))
        await server.arrived.wait()
        second = asyncio.create_task(session.request(method, f"{url}/second", data=b"order"))
        read = asyncio.create_task(session.get(f"{url}/read"))
        await asyncio.sleep(0)
        word = "the lease is lost"
        server.go_on.set()
        assert (await first).status == 200
        (await first).release()
        with pytest.raises(OrderRejected, match="not sent: the lease is lost"):
            await second
        assert (await read).status == 200
    assert server.seen == [f"{method} /first", "GET /read"]
