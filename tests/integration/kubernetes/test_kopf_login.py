"""kopf watches with the operator's own credentials, and only watches."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import kopf
import pytest
from aiohttp import web

from tests.support.operator.loopback import api_server, connected, kubeconfig
from tests.support.services.tls import Authority
from tradepulse_operator.clients.kubernetes.errors import Unavailable
from tradepulse_operator.common.names import GROUP, VERSION
from tradepulse_operator.manager import handlers
from tradepulse_operator.manager.key import Key
from tradepulse_operator.manager.watch_tracker import WatchTracker


def edge() -> handlers.EventRouter:
    seen: list[Key] = []
    return handlers.EventRouter(seen.append, WatchTracker())


async def test_kopf_logs_in_as_the_operator_does_and_again_when_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("one\n")
    cluster = {"insecure-skip-tls-verify": True, "proxy-url": "http://proxy.example.test"}
    url = "https://api.example.test:6443"
    path = kubeconfig(tmp_path, url, {"tokenFile": "mine"}, cluster)
    async with connected(monkeypatch, path) as connection:
        login = handlers.Login(connection)
        first = await login()
        assert (first.server, first.insecure, first.proxy_url, first.trust_env) == (
            url,
            True,
            "http://proxy.example.test",
            False,
        )
        assert first.as_http_headers() == {"Authorization": "Bearer one"}
        (tmp_path / "mine").write_text("two\n")
        assert (await login()).as_http_headers() == {"Authorization": "Bearer two"}
        (tmp_path / "mine").write_text("")
        with pytest.raises(Unavailable):
            await login()


def group(version: str, **kinds: str) -> dict[str, Any]:
    """What the API server serves of that group: plural → kind."""
    verbs = ["get", "list", "watch"]
    return {
        "groupVersion": version,
        "resources": [
            {
                "name": name,
                "singularName": kind.lower(),
                "kind": kind,
                "namespaced": name != "namespaces",
                "verbs": verbs,
            }
            for name, kind in kinds.items()
        ],
    }


class Watched:
    """An API server that serves runners to whoever sends its only `token`."""

    def __init__(self) -> None:
        self.token = "one"
        self.watching: asyncio.Queue[str] = asyncio.Queue()
        self.rotated = asyncio.Event()
        served = {"version": VERSION}
        self._objects = {
            "/api": {"versions": ["v1"]},
            "/api/v1": group("v1", namespaces="Namespace", events="Event"),
            "/apis": {
                "groups": [{"name": GROUP, "versions": [served], "preferredVersion": served}]
            },
            f"/apis/{GROUP}/{VERSION}": group(f"{GROUP}/{VERSION}", tradingrunners="TradingRunner"),
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != self.token:
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        if request.path in self._objects:
            return web.json_response(self._objects[request.path])
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        answer = web.StreamResponse()
        await answer.prepare(request)
        self.watching.put_nowait(token)
        await self.rotated.wait()
        return answer


async def test_a_watch_goes_on_with_the_token_that_a_plugin_issues_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stop = Watched(), asyncio.Event()
    (tmp_path / "plugin").write_text(
        "#!/bin/sh\n"
        f'token=$(cat "{tmp_path}/next")\n'
        'echo "{\\"kind\\": \\"ExecCredential\\", \\"status\\": {\\"token\\": \\"$token\\"}}"\n'
    )
    (tmp_path / "plugin").chmod(0o755)
    (tmp_path / "next").write_text("one")
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    async with (
        asyncio.timeout(20),
        api_server(server.answer) as api,
        connected(monkeypatch, kubeconfig(tmp_path, api.url, user)) as connection,
    ):
        watch = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(edge(), handlers.Login(connection)),
                settings=handlers.settings(),
                standalone=True,
                clusterwide=True,
                stop_flag=stop,
            )
        )
        assert await server.watching.get() == "one"
        (tmp_path / "next").write_text("two")
        server.token = "two"
        server.rotated.set()
        assert await server.watching.get() == "two"
        stop.set()
        await watch


async def test_kopf_shows_what_the_kubeconfig_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    authority.issue("me")
    user = {"client-certificate": "tls/me.pem", "client-key": "tls/me.key"}
    cluster = {"certificate-authority": "tls/test-ca.pem"}
    path = kubeconfig(tmp_path, "https://api.example.test", user, cluster)
    async with connected(monkeypatch, path) as connection:
        found = await handlers.Login(connection)()
    assert found.as_http_headers() == {}
    assert found.ca_path == str(authority.certificate)
    assert found.certificate_path == str(tmp_path / "tls/me.pem")
    assert found.private_key_path == str(tmp_path / "tls/me.key")
    assert found.as_ssl_context().verify_mode == ssl.CERT_REQUIRED


async def test_kopf_only_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch, kubeconfig(tmp_path, "http://127.0.0.1:9")) as connection:
        registry = handlers.registry(edge(), handlers.Login(connection))
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    assert not registry._indexing.get_all_handlers()
    assert len(registry._watching.get_all_handlers()) == 2 + len(handlers.CHILDREN)
    found = handlers.settings()
    assert found.peering.standalone
    assert not found.posting.enabled
    assert found.watching.label_selectors["", "v1", "configmaps"].endswith(
        ",!tradepulse.io/cutover"
    )
    assert len(found.watching.label_selectors) == len(handlers.CHILDREN)
