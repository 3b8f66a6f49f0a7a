"""A runner with the admin surface: people stop and start it over HTTPS, and a SIEM hears of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster.api import paths
from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e import scenario
from tests.support.e2e.client import Cluster, Manifest, condition, is_true, wait_for
from tests.support.runner.admin_fixtures import (
    AUDIENCE,
    ISSUER,
    SECRET,
    Answer,
    Issuer,
    ask,
    trusting,
)
from tests.support.services.process import Child
from tests.support.services.service import free_port
from tests.support.services.siem.receiver import CLIENT, SCOPE, Receiver
from tests.support.services.tls import Authority
from tradepulse_runner.audit.signing import Keyring

RUNNER, CLIENT_SECRET = "administered", "the-secret-of-the-siem-client"


def secret(name: str, namespace: str, **values: str) -> Manifest:
    data = {key.replace("_", "."): value for key, value in values.items()}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


class Place:
    """A runner with the surface, reached through a port-forward."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.authority, self.issuer = Authority(folder / "ca"), Issuer(folder)
        here = self.authority.issue("siem", [NODE_GATEWAY])
        self.siem = Receiver(here, CLIENT_SECRET, host=NODE_GATEWAY)
        self.port, self.log = free_port(), folder / "port-forward.log"
        self.tls: ssl.SSLContext = trusting(self.authority)

    def start(self) -> None:
        server = self.authority.issue("server", ["127.0.0.1"])
        crt, key = server.certificate.read_text(), server.key.read_text()
        for each in (
            secret("admin-tls", self.namespace, tls_crt=crt, tls_key=key),
            secret("admin-audit", self.namespace, secret=SECRET),
            secret("admin-keys", self.namespace, jwks_json=self.issuer.jwks.read_text()),
            secret("siem-client", self.namespace, secret=CLIENT_SECRET),
            secret("siem-ca", self.namespace, ca_crt=self.authority.certificate.read_text()),
        ):
            self.cluster.apply(each)
        scenario.start(self.cluster, RUNNER, self.namespace, admin=self._admin())
        config = str(self.cluster.kubeconfig)
        words = ["--kubeconfig", config, "-n", self.namespace, "port-forward"]
        words += [f"pod/{RUNNER}-0", f"{self.port}:8443"]
        self.forward = Child([paths.kubectl, *words], self.log)
        self.forward.wait_until(lambda: "Forwarding" in self.log.read_text(), "port-forward")

    def _admin(self) -> dict[str, Any]:
        return {
            "tlsSecret": "admin-tls",
            "auditSecret": "admin-audit",
            "oauth": {"issuer": ISSUER, "audience": AUDIENCE, "jwksSecret": "admin-keys"},
            "siem": {
                "endpoint": f"{self.siem.url}/audit",
                "tokenUrl": f"{self.siem.url}/token",
                "clientId": CLIENT,
                "scope": SCOPE,
                "clientSecret": "siem-client",
                "caSecret": "siem-ca",
            },
        }

    def ask(self, method: str, **more: Any) -> Answer:
        url = f"https://127.0.0.1:{self.port}/admin/kill-switch"
        return ask(url, method, tls=self.tls, **{"token": self.issuer.token(), **more})

    def says(self, kind: str, fits: Callable[[Manifest], bool]) -> Manifest:
        """The condition of the TradingRunner, once it fits."""

        def look() -> Manifest | None:
            found = condition(self.cluster.runner(RUNNER, self.namespace), kind)
            return found if found and fits(found) else None

        return wait_for(f"the condition {kind}", look, seconds=30)

    def stop(self) -> None:
        if hasattr(self, "forward"):
            self.forward.stop()
        self.siem.stop()


@pytest.fixture
def place(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Place]:
    found = Place(cluster, namespace, tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def test_a_person_stops_and_starts_it_over_https_and_the_siem_hears_of_it(place: Place) -> None:
    assert place.ask("POST", token="", reason="x").status == 401
    engaged = place.ask("POST", reason="e2e: stop")
    assert (engaged.status, engaged.body["outcome"]) == (200, "engaged")
    told = place.says("KillSwitch", lambda found: found["status"] == "True")
    assert "e2e: stop" in told["message"]
    view = place.ask("GET")
    reset = place.ask("DELETE", reason="e2e: over", If_Match=view.headers["etag"])
    assert (reset.status, reset.body["outcome"]) == (200, "reset")
    place.says("KillSwitch", lambda found: found["status"] == "False")
    scenario.trading(place.cluster, RUNNER, place.namespace)
    kinds = [
        "admin_denied",
        "kill_switch_engaged",
        "kill_switch_state_viewed",
        "kill_switch_reset_asked",
        "kill_switch_reset",
    ]
    records = place.siem.taken
    wait_for("the SIEM to have it all", lambda: [r["kind"] for r in records.values()] == kinds)
    assert {r["source"] for r in records.values()} == {f"{place.namespace}/{RUNNER}"}
    keys = Keyring([SECRET])
    for found in records.values():
        content = {name: found[name] for name in ("seq", "at", "kind", "body", "previous")}
        assert keys.problem(content, found["signature"]) == ""
    place.says("AuditForwarded", lambda found: found["status"] == "True")
    assert is_true(place.cluster.runner(RUNNER, place.namespace), "Ready")
