"""An API server on the loopback interface, and kubeconfigs that lead to it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tradepulse_operator.clients.kubernetes.config import Connection, connect

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "")


@dataclass
class ApiServer:
    """What was asked, and where."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)

    @property
    def tokens(self) -> list[str]:
        return [each.token for each in self.requests]


@asynccontextmanager
async def api_server(
    handler: Handler, context: ssl.SSLContext | None = None
) -> AsyncIterator[ApiServer]:
    """A server that answers everything as `handler` says."""
    found = ApiServer()

    async def every(request: web.Request) -> web.StreamResponse:
        headers = {name.title(): value for name, value in request.headers.items()}
        found.requests.append(
            Request(request.method, str(request.raw_path), headers, await request.read())
        )
        return await handler(request)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", every)
    server = TestServer(app)
    await server.start_server(ssl=context)
    found.url = f"{server.scheme}://127.0.0.1:{server.port}"
    try:
        yield found
    finally:
        await server.close()


def answers(*codes: int) -> Handler:
    """Answers with these codes one after another."""
    left = list(codes)

    async def handler(_: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": "Because", "message": "why"}
        return web.json_response(body, status=left.pop(0))

    return handler


def accepts(*tokens: str) -> Handler:
    """Answers 200 to these tokens, 401 to everyone else."""

    async def handler(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization", "").removeprefix("Bearer ") in tokens
        return web.json_response({"kind": "Status"}, status=200 if known else 401)

    return handler


def kubeconfig(
    folder: Path,
    url: str,
    user: Mapping[str, Any] | None = None,
    cluster: Mapping[str, Any] | None = None,
) -> Path:
    """A kubeconfig with one context: `user` (a token when left out) at `url`."""
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
                "clusters": [{"name": "it", "cluster": {"server": url, **(cluster or {})}}],
                "users": [{"name": "me", "user": dict(user or {"token": "t"})}],
            }
        )
    )
    return path


@asynccontextmanager
async def connected(
    monkeypatch: pytest.MonkeyPatch, path: Path, account: Path | None = None
) -> AsyncIterator[Connection]:
    """What the operator makes of that kubeconfig where there is no service account."""
    monkeypatch.setenv("KUBECONFIG", str(path))
    connection = await connect(account or path.parent / "no service account")
    try:
        yield connection
    finally:
        await connection.close()
