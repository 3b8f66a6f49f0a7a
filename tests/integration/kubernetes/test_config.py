"""Credentials: where they come from, how they stay fresh, and what is said when there are none."""

from __future__ import annotations

import asyncio
import base64
import math
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.support.operator.loopback import (
    ApiServer,
    accepts,
    answers,
    api_server,
    connected,
    kubeconfig,
)
from tests.support.services.tls import Authority
from tradepulse_operator.clients.kubernetes import config as kube_config
from tradepulse_operator.clients.kubernetes import http as kube_http
from tradepulse_operator.clients.kubernetes import token as kube_token
from tradepulse_operator.clients.kubernetes.config import connect
from tradepulse_operator.clients.kubernetes.errors import KubeError, Unavailable
from tradepulse_operator.clients.kubernetes.http import Call, Transport
from tradepulse_operator.clients.kubernetes.token import (
    FILE_PERIOD,
    Issued,
    Token,
    from_file,
    from_plugin,
)

READ = Call("get", "Pod", "GET", "/x", idempotent=True)
WRITE = Call("apply", "Pod", "PATCH", "/x", body={})
V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_http, "_PAUSES", (0.0, 0.0))


@asynccontextmanager
async def in_cluster(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *tokens: str
) -> AsyncIterator[tuple[Transport, ApiServer]]:
    """A pod's service account with the first of `tokens`, at a server that accepts the others."""
    authority = Authority(folder / "tls")
    pair = authority.issue("api", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    (folder / "token").write_text(tokens[0])
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    async with api_server(accepts(*tokens[1:]), context) as server:
        host, _, port = server.url.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        async with connected(monkeypatch, folder / "no kubeconfig", folder) as connection:
            yield Transport(connection), server


async def test_a_service_account_is_used_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "one", "one") as (it, server):
        await it.json(READ)
        assert server.tokens == ["Bearer one"]


async def test_the_line_break_at_the_end_of_a_token_file_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "one\n", "one") as (it, _):
        await it.json(READ)


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_a_rotated_token_is_taken_when_the_old_one_is_refused(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "old", "new") as (it, server):
        (tmp_path / "token").write_text("new")
        await it.json(call)
        assert server.tokens == ["Bearer old", "Bearer new"]
        await it.json(call)
        assert server.tokens[2:] == ["Bearer new"]


async def test_a_rotated_token_is_read_once_for_all_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "old", "new") as (it, server):
        (tmp_path / "token").write_text("new")
        await asyncio.gather(*(it.json(READ) for _ in range(10)))
        assert server.tokens.count("Bearer new") == 10


@pytest.mark.parametrize("content", ["", "\n", "a\nX-Other: header", "a b", "ü"])
async def test_a_token_that_cannot_be_sent_is_unavailable_until_it_can(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "old", "new") as (it, server):
        (tmp_path / "token").write_text(content)
        with pytest.raises(Unavailable, match="token") as caught:
            await it.json(WRITE)
        assert caught.value.reason == "NoToken"
        assert len(server.requests) == 1
        (tmp_path / "token").write_text("new")
        await it.json(WRITE)


async def test_a_token_file_that_is_gone_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_cluster(tmp_path, monkeypatch, "old", "new") as (it, _):
        (tmp_path / "token").unlink()
        with pytest.raises(Unavailable, match="No such file"):
            await it.json(READ)


async def test_a_token_is_read_again_when_it_is_due(tmp_path: Path) -> None:
    at, file = [0.0], tmp_path / "token"
    file.write_text("old")
    token = Token(from_file(file), monotonic=lambda: at[0])
    assert await token.value() == "old"
    file.write_text("new")
    at[0] = FILE_PERIOD - 1
    assert await token.value() == "old"
    at[0] = FILE_PERIOD
    assert await token.value() == "new"


async def test_many_requests_read_a_token_once() -> None:
    reads: list[int] = []

    async def read() -> Issued:
        reads.append(1)
        await asyncio.sleep(0)
        return Issued(f"t{len(reads)}")

    token = Token(read)
    assert set(await asyncio.gather(*(token.value() for _ in range(20)))) == {"t1"}
    assert set(await asyncio.gather(*(token.other_than("t1") for _ in range(20)))) == {"t2"}


async def test_a_token_file_of_a_kubeconfig_is_next_to_it_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("old\n")
    async with api_server(accepts("new")) as server:
        path = kubeconfig(tmp_path, server.url, {"tokenFile": "mine", "token": "stale"})
        async with connected(monkeypatch, path) as connection:
            (tmp_path / "mine").write_text("new\n")
            await Transport(connection).json(READ)
        assert server.tokens == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ({"token": "t"}, "Bearer t"),
        ({"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
        ({"exec": {"apiVersion": V1, "command": "absent"}, "token": "t"}, "Bearer t"),
        ({"as": "nobody"}, ""),
    ],
)
async def test_static_credentials_of_a_kubeconfig(
    user: dict[str, Any], sent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api_server(answers(200)) as server:
        async with connected(monkeypatch, kubeconfig(tmp_path, server.url, user)) as connection:
            await Transport(connection).json(READ)
        assert server.tokens == [sent]


def plugin(folder: Path, code: str, **more: Any) -> dict[str, Any]:
    """A user whose exec plugin is this Python code; `issue(token, expires)` answers."""
    program = folder / "plugin"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys, time\n"
        f"here = pathlib.Path({str(folder)!r})\n"
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "def issue(token, expires=None, **status):\n"
        "    status |= {'token': token} if token else {}\n"
        "    status |= {'expirationTimestamp': expires} if expires else {}\n"
        "    kind = {'apiVersion': asked['apiVersion'], 'kind': 'ExecCredential'}\n"
        "    print(json.dumps({**kind, 'status': status}))\n" + code
    )
    program.chmod(0o755)
    own = {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never", **more}
    return {"exec": own}


async def test_an_exec_plugin_issues_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "issue('-'.join([asked['apiVersion'][-2:], os.environ['WHO'], *sys.argv[1:]]))"
    user = plugin(tmp_path, code, args=["a", "b"], env=[{"name": "WHO", "value": "me"}])
    async with api_server(accepts("v1-me-a-b")) as server:
        async with connected(monkeypatch, kubeconfig(tmp_path, server.url, user)) as connection:
            await Transport(connection).json(READ)
            await Transport(connection).json(WRITE)
        assert len(server.requests) == 2


async def test_an_exec_plugin_runs_once_while_its_token_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "(here / 'runs').open('a').write('x')\nissue('t', '2999-01-01T00:00:00Z')"
    user = plugin(tmp_path, code, command=str(tmp_path / "plugin"))
    async with (
        api_server(accepts("t")) as server,
        connected(monkeypatch, kubeconfig(tmp_path, server.url, user)) as connection,
    ):
        await asyncio.gather(*(Transport(connection).json(READ) for _ in range(5)))
    assert (tmp_path / "runs").read_text() == "x"


async def test_an_exec_plugin_is_asked_again_when_its_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = plugin(tmp_path, "issue((here / 'next').read_text())")
    (tmp_path / "next").write_text("old")
    async with api_server(accepts("new")) as server:
        async with connected(monkeypatch, kubeconfig(tmp_path, server.url, user)) as connection:
            (tmp_path / "next").write_text("new")
            await Transport(connection).json(WRITE)
        assert server.tokens == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        ("1970-01-01T00:10:00Z", 400.0),
        ("1970-01-01T00:10:00.000000001+00:00", 400.0),
        ("1970-01-01T00:01:00Z", 0.0),
        (None, math.inf),
    ],
)
async def test_an_exec_plugin_is_asked_again_before_its_token_expires(
    expires: str | None, seconds: float, tmp_path: Path
) -> None:
    section = plugin(tmp_path, f"issue('t', {expires!r})")["exec"]
    section["command"] = str(tmp_path / "plugin")
    assert await from_plugin(section, now=lambda: 100.0)() == Issued("t", seconds)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("sys.exit('log in first')", "failed with 1: log in first"),
        ("print('{')", "no ExecCredential"),
        ("print('[]')", "no ExecCredential"),
        ("print(json.dumps({'status': None}))", "no ExecCredential"),
        ("issue('t', 'tomorrow')", "no ExecCredential"),
        ("issue('')", "issued no token"),
        ("issue('', clientCertificateData='c', clientKeyData='k')", "use one that issues tokens"),
        ("issue('a\\nb')", "line breaks"),
    ],
)
async def test_an_exec_plugin_that_fails_is_named_and_nothing_goes_on_without_credentials(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:9", plugin(tmp_path, code))
    with pytest.raises(Unavailable, match=says) as caught:
        async with connected(monkeypatch, path):
            pass
    assert str(tmp_path / "plugin") in caught.value.message


async def test_a_missing_exec_plugin_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"exec": {"apiVersion": V1, "command": "no-such-plugin"}}
    with pytest.raises(Unavailable, match="no-such-plugin can't be run: No such file"):
        async with connected(monkeypatch, kubeconfig(tmp_path, "http://127.0.0.1:9", user)):
            pass


async def test_an_exec_plugin_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_token, "PLUGIN_TIMEOUT", 1.0)
    code = "(here / 'pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    path = kubeconfig(tmp_path, "http://127.0.0.1:9", plugin(tmp_path, code))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="didn't end in 1 s"):
            async with connected(monkeypatch, path):
                pass
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_without_credentials_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(KubeError, match=r"no kubeconfig at .*absent: set \$KUBECONFIG"):
        await connect(tmp_path / "no service account")


async def test_a_service_account_outside_a_cluster_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / "token").write_text("t")
    with pytest.raises(KubeError, match=f"{tmp_path}: Service host/port is not set"):
        await connect(tmp_path)


SECRET = "hunter2"
OIDC = {"name": "oidc", "config": {"refresh-token": SECRET}}
NO_AUTHORITY = {"server": "https://127.0.0.1:9", "certificate-authority-data": "bm90IGE="}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"current-context": ""}, "names no current context"),
        ({"current-context": "other"}, "other"),
        ({"contexts": None}, "contexts"),
        ({"contexts": [{"name": "here"}]}, "context"),
        ({"clusters": []}, "clusters"),
        ({"clusters": [{"name": "it", "cluster": {}}]}, "server"),
        ({"clusters": [{"name": "it", "cluster": NO_AUTHORITY}]}, "kubeconfig"),
        ({"users": [{"name": "me", "user": {"auth-provider": {"name": "oidc"}}}]}, "oidc"),
        ({"users": [{"name": "me", "user": {"auth-provider": OIDC}}]}, "entry not shown"),
        ({"users": "none"}, "kubeconfig"),
    ],
)
async def test_a_wrong_kubeconfig_is_an_error_that_tells_no_secret(
    changes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1:9", {"token": SECRET})
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(KubeError) as caught:
        await connect(tmp_path / "no service account")
    assert says in caught.value.message
    assert str(tmp_path / "kubeconfig") in caught.value.message
    assert SECRET not in caught.value.message


async def test_a_client_certificate_of_a_kubeconfig_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    pair, mine = authority.issue("api", ["127.0.0.1"]), authority.issue("me")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(pair.certificate, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    user = {
        "client-certificate-data": base64.b64encode(mine.certificate.read_bytes()).decode(),
        "client-key": "tls/me.key",
    }
    async with api_server(answers(200), context) as server:
        trusted = {"certificate-authority": "tls/test-ca.pem"}
        path = kubeconfig(tmp_path, server.url, user, trusted)
        async with connected(monkeypatch, path) as connection:
            await Transport(connection).json(READ)
        assert server.tokens == [""]


async def test_a_server_with_another_authoritys_certificate_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = Authority(tmp_path / "tls"), Authority(tmp_path / "other")
    pair = other.issue("api", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    async with api_server(answers(200), context) as server:
        trusted = {"certificate-authority": str(authority.certificate)}
        path = kubeconfig(tmp_path, server.url, cluster=trusted)
        async with connected(monkeypatch, path) as connection:
            with pytest.raises(Unavailable, match="certificate"):
                await Transport(connection).json(READ)
        assert server.requests == []


async def test_what_has_connections_of_its_own_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, done = asyncio.Semaphore(0), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        if request.path == "/slow":
            arrived.release()
            await done.wait()
        return web.json_response({"kind": "Status"})

    async with (
        asyncio.timeout(20),
        api_server(slow) as server,
        connected(monkeypatch, kubeconfig(tmp_path, server.url)) as connection,
    ):
        call = Call("get", "Pod", "GET", "/slow", idempotent=True)
        waiting = [asyncio.create_task(Transport(connection).json(call)) for _ in range(40)]
        for _ in range(kube_config.CONNECTIONS):
            await arrived.acquire()
        own = connection.another()
        assert await Transport(own, timeout=5.0).json(WRITE) == {"kind": "Status"}
        assert server.tokens[-1] == "Bearer t"
        await own.close()
        done.set()
        await asyncio.gather(*waiting)
