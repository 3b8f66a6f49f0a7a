"""A server that answers as a test's script says: for faults of the transport itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scripted:
    """``seen`` lists (method, path) in order; ``script`` answers all but the server's time.

    ``ahead``: seconds that the server's clock is ahead of ours; ``timeless``: it won't tell.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.url = ""
        self.ahead = 0.0
        self.timeless = False
        self.script: Handler = _ok

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v3/time" and self.timeless:
            return web.Response(status=503)
        if request.path == "/api/v3/time":
            now = int((time.time() + self.ahead) * 1000)
            return web.json_response({"serverTime": now})
        self.seen.append((request.method, request.path))
        return await self.script(request)


async def _ok(_request: web.Request) -> web.StreamResponse:
    return web.json_response({})


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """A running server on a free port of the loopback interface."""
    server = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
