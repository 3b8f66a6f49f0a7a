"""Events become keys; nothing else."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.services.tls import Authority
from tests.unit.operator.clients.loopback import connected, kubeconfig
from tradepulse_operator.clients.kubernetes.errors import Unavailable
from tradepulse_operator.manager import handlers
from tradepulse_operator.manager import key as keys
from tradepulse_operator.manager.key import Key
from tradepulse_operator.manager.watch_tracker import Witness

RUNNER = keys.runner("ns", "btc")
CUTOVER = keys.cutover("ns", "btc-1")


def event(kind: str, **body: Any) -> dict[str, Any]:
    meta = {"name": "btc", "namespace": "ns", "resourceVersion": "7", **body.pop("metadata", {})}
    return {"type": kind, "object": {"metadata": meta, **body}}


def edge() -> tuple[handlers.Edge, list[Key], Witness]:
    seen: list[Key] = []
    witness = Witness()
    return handlers.Edge(seen.append, witness), seen, witness


def test_a_runner_wakes_itself_and_its_claimed_cutover() -> None:
    it, seen, witness = edge()
    it.runner(event("MODIFIED", status={"cutover": "btc-1"}))
    assert seen == [RUNNER, CUTOVER]
    assert witness.known() == {RUNNER}


def test_a_pod_wakes_its_runner_and_what_is_claimed() -> None:
    it, seen, _ = edge()
    pod = event("MODIFIED", metadata={"name": "btc-0", "labels": {"tradepulse.io/runner": "btc"}})
    it.child(pod)
    assert seen == [RUNNER]
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.child(pod)
    assert seen == [RUNNER, CUTOVER]
    it.runner(event("MODIFIED", status={}))
    seen.clear()
    it.child(pod)
    assert seen == [RUNNER]


def test_a_pod_beside_wakes_them_too() -> None:
    it, seen, _ = edge()
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.child(
        event("MODIFIED", metadata={"name": "check-1", "labels": {"tradepulse.io/beside": "btc"}})
    )
    assert seen == [RUNNER, CUTOVER]


def test_a_cutover_wakes_its_runner() -> None:
    it, seen, _ = edge()
    it.cutover(event("ADDED", metadata={"name": "btc-1"}, spec={"runner": "btc"}))
    assert seen == [CUTOVER, RUNNER]


def test_a_deleted_runner_is_looked_at_once_more() -> None:
    it, seen, witness = edge()
    it.runner(event("ADDED", status={"cutover": "btc-1"}))
    seen.clear()
    it.runner(event("DELETED", status={"cutover": "btc-1"}))
    assert seen == [RUNNER]
    assert witness.known() == frozenset()


def test_foreign_objects_wake_nobody() -> None:
    it, seen, _ = edge()
    it.child(event("ADDED", metadata={"labels": None}))
    assert seen == []


async def test_kopf_logs_in_as_the_operator_does_and_again_when_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("one\n")
    cluster = {"insecure-skip-tls-verify": True, "proxy-url": "http://proxy.example.test"}
    url = "https://api.example.test:6443"
    path = kubeconfig(tmp_path, url, {"tokenFile": "mine"}, **cluster)
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


async def test_kopf_shows_what_the_kubeconfig_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    authority.issue("me")
    user = {"client-certificate": "tls/me.pem", "client-key": "tls/me.key"}
    cluster = {"certificate-authority": "tls/test-ca.pem"}
    path = kubeconfig(tmp_path, "https://api.example.test", user, **cluster)
    async with connected(monkeypatch, path) as connection:
        found = await handlers.Login(connection)()
    assert found.as_http_headers() == {}
    assert found.ca_path == str(authority.certificate)
    assert found.certificate_path == str(tmp_path / "tls/me.pem")
    assert found.private_key_path == str(tmp_path / "tls/me.key")
    assert found.as_ssl_context().verify_mode == ssl.CERT_REQUIRED


async def test_kopf_only_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it, _, _ = edge()
    async with connected(monkeypatch, kubeconfig(tmp_path, "http://127.0.0.1:9")) as connection:
        registry = handlers.registry(it, handlers.Login(connection))
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
